"""Release: one version of one model. Pins, which never change, and a rollout, which does."""

from __future__ import annotations

import decimal
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.device_class import Provider
from muster.kinds.digest import Commit, Digest, ExactVersion, Name, Version, digest_of_value
from muster.kinds.moment import UtcMoment
from muster.kinds.policy import TierName
from muster.kinds.quantity import Decimal, Percent
from muster.kinds.recipe import Recipe
from muster.kinds.resource import AsTuple, Declared, Metadata, Resource, Text

Salt = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]


class ReleaseMetadata(Metadata):
    """`name` is the model's name; the release's own name is `<name>/<version>`."""

    version: Version


class Lineage(Declared):
    """Where the source model came from."""

    training_commit: Commit
    run_id: Text
    dataset: Digest
    environment: Digest
    seeds: Annotated[tuple[int, ...], AsTuple, Field(min_length=1, max_length=16)]
    hyperparameters: Annotated[dict[str, Text], Field(max_length=64)]
    owner: Text


class Source(Declared):
    """The full-precision model."""

    digest: Digest
    size: Annotated[int, Field(ge=1)]
    lineage: Lineage


class Golden(Declared):
    """What the artifact must answer on a device: inputs, expected outputs, and how far an output may lie off."""

    inputs: Digest
    expected: Digest
    tolerance: Decimal


class Snapshots(Declared):
    """Immutable data sets, by the digest of their tensors. Disjoint."""

    calibration: Digest
    evaluation: Digest
    golden: Golden


class Builder(Declared):
    """The environment that builds: a hash-locked requirement list in this repository."""

    lock: Annotated[str, StringConstraints(pattern=r"^builders/[a-z0-9][a-z0-9._-]{0,63}\.lock$")]
    digest: Digest


class Stages(Declared):
    """What each stage of the recipe put out, so that a difference names the first stage that differs."""

    imported: Digest
    preprocessed: Digest
    calibrated: Digest
    quantized: Digest


class Artifact(Declared):
    """The bytes a device runs."""

    digest: Digest
    size: Annotated[int, Field(ge=1)]


class OnnxVersions(Declared):
    """Checked against what the runtime of every device class can load."""

    opset: Annotated[int, Field(ge=7, le=64)]
    ir: Annotated[int, Field(ge=3, le=64)]


class ReleaseRuntime(Declared):
    """On this device class, the artifact runs on this runtime and provider."""

    device_class: Name
    name: Literal["onnxruntime"]
    version: ExactVersion
    provider: Provider


class Normalization(Declared):
    """How a frame becomes the model's input.

    `scale`: value / divisor. `stretch`: value / largest value of the frame (a dark frame stays dark).
    """

    kind: Literal["scale", "stretch"]
    divisor: Decimal = decimal.Decimal(1)


class InferenceInput(Declared):
    """Name, shape without the batch axis, and normalization of the model's input. The element type is float32."""

    name: Text
    shape: Annotated[tuple[int, ...], AsTuple, Field(min_length=1, max_length=6)]
    normalization: Normalization


class InferenceOutput(Declared):
    """Scores per label: post-processing is their arg max, and the score there is the confidence."""

    name: Text
    labels: Annotated[tuple[Text, ...], AsTuple, Field(min_length=2, max_length=10_000)]
    postprocessing: Literal["argmax"] = "argmax"


class Thresholds(Declared):
    """`confidence`: below it an answer is not used. `min_confident`: the share of answers that must reach it
    during the health window; a device below that share returns to its confirmed release.
    """

    confidence: Percent
    min_confident: Percent


class Inference(Declared):
    """The inference config. Its digest is `config_version`."""

    input: InferenceInput
    output: InferenceOutput
    thresholds: Thresholds

    @property
    def config_version(self) -> str:
        """Digest of the config's canonical JSON."""
        return digest_of_value(self.model_dump(mode="json"))


class Rollout(Declared):
    """Percentages per cohort; what is not named gets nothing. The only part of a release that changes.

    Where the tier lets the controller advance, it goes through the cohorts that are named, at 0 % too, and not before
    `notBefore`. A release at 0 % everywhere is begun then; without `notBefore`, by people.
    """

    cohorts: Annotated[dict[Name, Percent], Field(max_length=64)]
    salt: Salt | None = None
    not_before: UtcMoment | None = None

    @property
    def reaches_any(self) -> bool:
        """True if some cohort has more than 0 %."""
        return any(self.cohorts.values())


class ReleaseSpec(Declared):
    """Everything but `rollout` is a pin: immutable once merged."""

    tier: TierName
    supersedes: Version | None = None
    source: Source
    recipe: Recipe
    snapshots: Snapshots
    calibration_table: Digest
    builder: Builder
    stages: Stages
    artifact: Artifact
    onnx: OnnxVersions
    runtimes: Annotated[tuple[ReleaseRuntime, ...], AsTuple, Field(min_length=1, max_length=256)]
    inference: Inference
    config_version: Digest
    rollout: Rollout


class Release(Resource):
    """releases/<model>/<version>.yaml"""

    kind: Literal["Release"] = "Release"
    metadata: ReleaseMetadata
    spec: ReleaseSpec

    @property
    def model(self) -> str:
        """The model's name."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """The version of the model."""
        return self.metadata.version

    @property
    def name(self) -> str:
        """`<model>/<version>`: how messages, metrics and salts call this release."""
        return f"{self.model}/{self.version}"

    @property
    def path(self) -> str:
        """Where the release is declared."""
        return f"releases/{self.name}.yaml"

    @property
    def salt(self) -> str:
        """What the devices' buckets are salted with: the release's name unless the rollout says otherwise."""
        return self.spec.rollout.salt or self.name

    @property
    def pins(self) -> str:
        """Digest of everything in the release that never changes: all but the rollout."""
        return digest_of_value(
            [self.name, self.model_dump(mode="json", include={"spec"}, exclude={"spec": {"rollout"}}, by_alias=True)]
        )

    def runtime_for(self, device_class: str) -> ReleaseRuntime | None:
        """The runtime declared for this class, if the release goes there."""
        return next((runtime for runtime in self.spec.runtimes if runtime.device_class == device_class), None)
