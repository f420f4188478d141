"""DeviceClass: hardware, OS, runtime and providers that behave alike, with budgets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from muster.kinds.capture import Captures, declared_twice
from muster.kinds.digest import DeviceId, ExactVersion, Name
from muster.kinds.drift import MOST_RULES, DriftAction, DriftRule
from muster.kinds.enrolment import EnrolmentSpec
from muster.kinds.maintenance import MOST_WINDOWS, Disruption, MaintenanceWindow, never_in_turn
from muster.kinds.quantity import Duration, Rate, Size
from muster.kinds.resource import AsTuple, Declared, Resource, Text

Provider = Literal[
    "CPUExecutionProvider",
    "XnnpackExecutionProvider",
    "NnapiExecutionProvider",
    "CoreMLExecutionProvider",
    "QNNExecutionProvider",
    "OpenVINOExecutionProvider",
    "TensorrtExecutionProvider",
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "VitisAIExecutionProvider",
    "ArmNNExecutionProvider",
    "ACLExecutionProvider",
]


EmulatedCpu = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A model that qemu knows, such as `Haswell`."""


DeviceFolder = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){1,16}$")]
"""An absolute path on the device. Nothing that a text in quotes would have to escape, and no way up."""

HardwareRevision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
"""A revision as SWUpdate is told it on the device (`/etc/hwrevision`, or `-H board:1.0`)."""


class OperatingSystem(Declared):
    """What the devices boot."""

    name: Name
    versions: Annotated[tuple[ExactVersion, ...], AsTuple, Field(min_length=1, max_length=32)]


class Runtime(Declared):
    """The runtime that the device has installed, and the providers it can use, preferred first."""

    name: Literal["onnxruntime"]
    version: ExactVersion
    providers: Annotated[tuple[Provider, ...], AsTuple, Field(min_length=1, max_length=8)]


class Budgets(Declared):
    """What a release may cost on this class."""

    storage: Size
    peak_ram: Size
    load_time: Duration
    p95_latency: Duration


class Rates(Declared):
    """Sustained rates of the class, for predicting latency before a device has run anything.

    predicted latency = max(operations / multiply_accumulates, bytes / memory) + overhead
    """

    multiply_accumulates: Rate
    memory: Rate
    overhead: Duration


class SwuPackaging(Declared):
    """How a `.swu` installs an artifact: as `<folder>/<model>.tar`, on boards of these hardware revisions."""

    folder: DeviceFolder = "/var/lib/muster/models"
    hardware: Annotated[tuple[HardwareRevision, ...], AsTuple, Field(min_length=1, max_length=16)] = ("1.0",)


class DeviceClassSpec(Declared):
    """Hardware and what is expected of it.

    `cpu` is the model of qemu's whose instructions the devices have. With it, gates about answers are asked for the
    class too, and only what was measured with those instructions, or on a reference device, answers them.
    `referenceDevices` are the devices of the class whose agents measure for all of them.

    `drift`: what is done about a device that runs what git never declared for it; `driftRules`, in order, say otherwise
    for single fields.

    `maintenance`: windows in the devices' own time, in which alone they switch to a release; without any, they may at
    any time. `disruption`: how many devices of a site may switch at the same time. Fetching, verifying and going back
    never wait.

    `enrolment`: who may enrol as a device of the class. Without it, who shows the enrolment token of the fleet.
    `capture`: what devices may take of what their models see, by purpose, where somebody consented on the device.
    `agent`: who asks for what a device should run: Muster's own agent, or an update client that speaks hawkBit's DDI.
    `package`: what such a client is given: the artifact as it is, or packed for SWUpdate as `swu` says.
    """

    hardware: Text
    isa: Annotated[tuple[Name, ...], AsTuple, Field(min_length=1, max_length=16)]
    os: OperatingSystem
    runtime: Runtime
    budgets: Budgets
    rates: Rates
    models: Annotated[tuple[Name, ...], AsTuple, Field(min_length=1, max_length=64)]
    may_be_empty: bool = False
    cpu: EmulatedCpu | None = None
    reference_devices: Annotated[tuple[DeviceId, ...], AsTuple, Field(max_length=64)] = ()
    drift: DriftAction = "Correct"
    drift_rules: Annotated[tuple[DriftRule, ...], AsTuple, Field(max_length=MOST_RULES)] = ()
    maintenance: Annotated[tuple[MaintenanceWindow, ...], AsTuple, Field(max_length=MOST_WINDOWS)] = ()
    disruption: Disruption | None = None
    enrolment: EnrolmentSpec | None = None
    capture: Captures = ()
    agent: Literal["native", "ddi"] = "native"
    package: Literal["tar", "swu"] = "tar"
    swu: SwuPackaging = SwuPackaging()

    @model_validator(mode="after")
    def _lets_every_device_switch(self) -> DeviceClassSpec:
        if problem := never_in_turn(self.maintenance, self.disruption):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _captures_of_its_models(self) -> DeviceClassSpec:
        if twice := declared_twice(self.capture):
            raise ValueError(f"capture: {twice}")
        if strange := sorted({capture.model for capture in self.capture} - set(self.models)):
            raise ValueError(f"capture: the class does not run {', '.join(strange)}; it runs {', '.join(self.models)}")
        return self


class DeviceClass(Resource):
    """devices/classes/<name>.yaml"""

    kind: Literal["DeviceClass"] = "DeviceClass"
    spec: DeviceClassSpec
