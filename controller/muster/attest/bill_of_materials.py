"""The bill of materials of a release: a CycloneDX 1.6 ML-BOM, as JSON.

Format: CycloneDX 1.6 (ECMA-424), component type `machine-learning-model` with its `modelCard`. Made from the
declaration, the builder's lock and evidence alone, so that the same release gives the same bytes: the serial number is
derived from the artifact's digest, and the time is that of the commit.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from muster import __version__
from muster.attest.figures import UNITS, Figure
from muster.attest.release_manifest import Known
from muster.attest.statements.release_names import release_url
from muster.kinds.digest import hex_of
from muster.kinds.moment import utc_text
from muster.kinds.release import Release

SPEC_VERSION: Final = "1.6"
_REQUIREMENT: Final = re.compile(
    rb"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})==([0-9][0-9A-Za-z.!+_-]{0,63})(?=[ ;\\\r\n]|$)", re.MULTILINE
)
_MOST_REQUIREMENTS: Final = 2_000


def bill_of_materials(known: Known, lock: bytes, at: datetime, made_by: str = __version__) -> dict[str, Any]:
    """The BOM of a release; `lock` is its builder's requirement list, `made_by` the version of the tool."""
    release = known.release
    model = _model(known)
    parts = [*_inputs(release), *_tools(lock)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'muster:' + release.pins)}",
        "version": 1,
        "metadata": {
            "timestamp": utc_text(at),
            "tools": {"components": [{"type": "application", "name": "muster", "version": made_by}]},
            "component": model,
        },
        "components": parts,
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }


def _model(known: Known) -> dict[str, Any]:
    release, spec = known.release, known.release.spec
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": release.model,
        "version": release.version,
        "purl": release_url(release),
        "hashes": _hashes(spec.artifact.digest),
        "modelCard": {
            "modelParameters": {
                "task": "classification",
                "datasets": [{"ref": name} for name in ("calibration", "evaluation", "golden", "training")],
                "inputs": [{"format": f"float32 {list(spec.inference.input.shape)}"}],
                "outputs": [{"format": f"{len(spec.inference.output.labels)} scores"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": [_metric(figure) for figure in known.figures]},
            "considerations": {"technicalLimitations": list(_limitations(known))},
        },
        "properties": _properties(
            {
                "muster:tier": spec.tier,
                "muster:modelDigest": spec.stages.quantized,
                "muster:configVersion": spec.config_version,
                "muster:pins": release.pins,
                "muster:commit": known.commit,
                "muster:onnx:opset": str(spec.onnx.opset),
                "muster:onnx:ir": str(spec.onnx.ir),
                **{f"muster:runtime:{one.device_class}": f"{one.name} {one.version}" for one in spec.runtimes},
                **{f"muster:provider:{one.device_class}": one.provider for one in spec.runtimes},
            }
        ),
    }


def _inputs(release: Release) -> Iterator[dict[str, Any]]:
    spec, lineage = release.spec, release.spec.source.lineage
    yield {
        "type": "machine-learning-model",
        "bom-ref": "source",
        "name": f"{release.model} source",
        "hashes": _hashes(spec.source.digest),
        "pedigree": {"commits": [{"uid": lineage.training_commit}], "notes": f"training run {lineage.run_id}"},
        "properties": _properties({f"hyperparameter:{key}": value for key, value in lineage.hyperparameters.items()}),
    }
    sets = {
        "calibration": spec.snapshots.calibration,
        "evaluation": spec.snapshots.evaluation,
        "golden": spec.snapshots.golden.inputs,
        "training": lineage.dataset,
    }
    for name, digest in sets.items():
        content = {"type": "dataset", "name": name}
        yield {"type": "data", "bom-ref": name, "name": f"{name} data", "hashes": _hashes(digest), "data": [content]}
    files = {"calibration-table": spec.calibration_table, "builder": spec.builder.digest}
    names = {"calibration-table": "calibration table", "builder": spec.builder.lock}
    for name, digest in files.items():
        yield {"type": "file", "bom-ref": name, "name": names[name], "hashes": _hashes(digest)}


def _tools(lock: bytes) -> Iterator[dict[str, Any]]:
    """The packages that the builder's lock pins, once each; their hashes, one per platform, stand in the lock."""
    found = {(name.decode().lower(), version.decode()) for name, version in _REQUIREMENT.findall(lock)}
    for name, version in sorted(found)[:_MOST_REQUIREMENTS]:
        url = f"pkg:pypi/{name.replace('_', '-')}@{version}"
        yield {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url, "scope": "excluded"}


def _metric(figure: Figure) -> dict[str, Any]:
    result = figure.result
    unit = UNITS.get(result.metric)
    where = [part for part in (result.device_class, result.slice) if part]
    interval = {"lowerBound": result.lower, "upperBound": result.upper}
    bounds = {name: f"{value:f}" for name, value in interval.items() if value is not None}
    return {
        "type": result.metric + (f" ({unit})" if unit else ""),
        "value": f"{result.value:f}",
        **({"slice": "/".join(where)} if where else {}),
        **({"confidenceInterval": bounds} if bounds else {}),
    }


def _limitations(known: Known) -> Iterator[str]:
    """What nobody measured is said to be so."""
    measured = {figure.key[1] for figure in known.figures}
    for runtime in known.release.spec.runtimes:
        if runtime.device_class not in measured:
            yield f"not measured on device class {runtime.device_class}"
    for item in sorted(known.evidence, key=lambda item: item.path):
        if item.problem is not None:
            yield f"not believed: {item.path}"


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hex_of(digest)}]


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": values[name]} for name in sorted(values)]
