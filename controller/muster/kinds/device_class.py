"""DeviceClass: hardware, OS, runtime and providers that behave alike, with budgets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from muster.kinds.digest import ExactVersion, Name
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


class DeviceClassSpec(Declared):
    """Hardware and what is expected of it."""

    hardware: Text
    isa: Annotated[tuple[Name, ...], AsTuple, Field(min_length=1, max_length=16)]
    os: OperatingSystem
    runtime: Runtime
    budgets: Budgets
    rates: Rates
    models: Annotated[tuple[Name, ...], AsTuple, Field(min_length=1, max_length=64)]
    may_be_empty: bool = False


class DeviceClass(Resource):
    """devices/classes/<name>.yaml"""

    kind: Literal["DeviceClass"] = "DeviceClass"
    spec: DeviceClassSpec
