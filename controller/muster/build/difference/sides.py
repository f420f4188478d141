"""What is compared: a model file, an artifact, a release, or the report of a build. Each is read with its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import onnx

from muster.artifacts.bundle import MODEL, read_bundle
from muster.artifacts.store import Store
from muster.build.calibration_table import CalibrationTable, read_table
from muster.build.declarations import locate_release, read_bounded, read_release
from muster.build.onnx_safety.admit import admit, parse
from muster.build.onnx_safety.rules import WHATEVER_LOADS
from muster.build.pipeline import pins_of
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.release import Release

MAX_FILE: Final = 2**31 - 2**28
MAX_REPORT: Final = 2**22
_TAR_MAGIC: Final = slice(257, 262)
_HINT: Final = (
    "name two of: an ONNX file, an artifact, MODEL/VERSION, a release file, the JSON that `muster build` prints"
)


@dataclass(frozen=True)
class Facts:
    """How a model was made, as far as it is known.

    `outputs`: digest of what each stage put out, in the order of the stages. `inputs`: what went in, by name: digests,
    and the stages of the recipe as text. `machine`: where it was made.
    """

    outputs: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    calibrated: CalibrationTable | None = None


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    digest: str
    """Of the model's file."""
    model: onnx.ModelProto
    facts: Facts


def read_side(name: str, store: Store, folder: Path) -> Side:
    """Raises `Unusable` for whatever cannot be read, be it missing, damaged or refused by the checks of models."""
    try:
        return _read(name, store, folder)
    except Refused as error:
        raise Unusable(f"{name} cannot be read: {error.message}", error.hint) from error


def side_of(name: str, model: bytes, facts: Facts | None = None) -> Side:
    """A side from a model's bytes. Raises `Refused` if they are not admitted."""
    return Side(name, digest_of(model), parse(admit(model, WHATEVER_LOADS)), facts or Facts())


def inputs_of(release: Release) -> dict[str, str]:
    """What goes into a release's build: digests, and the stages of the recipe as text."""
    spec = release.spec
    recipe = spec.recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "source model": spec.source.digest,
        "calibration snapshot": spec.snapshots.calibration,
        "golden snapshot": spec.snapshots.golden.inputs,
        "inference config": spec.config_version,
        "builder": spec.builder.digest,
        **{f"recipe {stage}": canonical_json(options).decode() for stage, options in recipe.items()},
    }


def facts_of(release: Release, store: Store) -> Facts:
    """What a release pins."""
    outputs = {name: digest for name, digest in pins_of(release).in_order() if digest}
    return Facts(outputs, inputs_of(release), calibrated=_table(outputs, store))


def facts_of_report(report: Mapping[str, Any], store: Store) -> Facts:
    """What the report of a build tells, as `muster build -o json` prints it. Raises `Unusable`."""
    try:
        outputs = {str(entry["output"]): str(entry["found"]) for entry in report["outputs"]}
        inputs = {str(key): str(value) for key, value in report.get("inputs", {}).items()}
        machine = {str(key): str(value) for key, value in report.get("machine", {}).items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise Unusable("this JSON is no report of a build", "make one: muster build RELEASE -o json") from error
    if "quantized" not in outputs:
        raise Unusable("this report does not say what was quantized", "make one: muster build RELEASE -o json")
    return Facts(outputs, inputs, machine, _table(outputs, store))


def _read(name: str, store: Store, folder: Path) -> Side:
    path = folder / name
    if not path.is_file() or path.suffix in (".yaml", ".yml"):
        where, file = locate_release(name, folder)
        release = read_release(where, file)
        facts = facts_of(release, store)
        return side_of(name, store.get(facts.outputs["quantized"]), facts)
    data = read_bounded(path.parent, path.name, MAX_FILE)
    if data[_TAR_MAGIC] == b"ustar":
        return side_of(name, read_bundle(data)[MODEL])
    if data[:1] == b"{":
        facts = facts_of_report(_json(name, data), store)
        return side_of(name, store.get(facts.outputs["quantized"]), facts)
    return side_of(name, data)


def _json(name: str, data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data) if len(data) <= MAX_REPORT else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Unusable(f"{name} is neither a model nor the report of a build", _HINT)
    return value


def _table(outputs: Mapping[str, str], store: Store) -> CalibrationTable | None:
    """The ranges as they were found, if the store holds them."""
    digest = outputs.get("calibrated", "")
    try:
        return read_table(store.get(digest), "CalibratedRanges")
    except (Refused, Unusable):
        return None
