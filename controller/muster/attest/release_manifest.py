"""The release manifest: one page of JSON per release that gathers what is known of it, for people and machines.

It is made from the declaration and from evidence alone, and adds nothing: every figure names the file that says it, and
every file stands there with its address in the repository and its digest, those that are not believed included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from muster.attest.figures import Figure, figures_of, measurement_of, rebuild_of, soak_hours
from muster.kinds.device_class import DeviceClass
from muster.kinds.evidence import Evidence
from muster.kinds.moment import utc_text
from muster.kinds.release import Release

FORMAT: Final = "muster:release-manifest/v1"
ANY: Final = "any"
"""Where a figure stands that is the same on every device class."""


@dataclass(frozen=True)
class Known:
    """A release at a commit, and the evidence about its artifact: every file, with `digests` {path: digest}."""

    release: Release
    commit: str
    evidence: Sequence[Evidence]
    digests: Mapping[str, str]
    device_classes: Sequence[DeviceClass] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What believed measurements say."""
        return figures_of(self.evidence)


def release_manifest(known: Known) -> dict[str, Any]:
    """The manifest as plain JSON, without floats."""
    release, spec = known.release, known.release.spec
    figures = known.figures
    return {
        "format": FORMAT,
        "release": release.name,
        "tier": spec.tier,
        "commit": known.commit,
        "declaration": release.path,
        "artifact": {"digest": spec.artifact.digest, "size": spec.artifact.size},
        "modelDigest": spec.stages.quantized,
        "configVersion": spec.config_version,
        "runtimes": [runtime.model_dump(mode="json", by_alias=True) for runtime in spec.runtimes],
        "devicesTested": _tested(known),
        "benchmarks": _by_class(figures),
        "soakHours": {figure.key[1] or ANY: soak_hours(figure) for figure in figures if figure.key[0] == "soak"},
        "signing": _signing(known),
        "rebuilds": _rebuilds(known),
        "evidence": [_address(item, known.digests[item.path]) for item in _sorted(known.evidence)],
    }


def _tested(known: Known) -> list[dict[str, Any]]:
    """The device classes on which somebody measured, and on what machine by their own account."""
    declared = {item.metadata.name: item for item in known.device_classes}
    found: dict[str, dict[str, Any]] = {}
    for item in _sorted(known.evidence):
        measured = measurement_of(item)
        for name in (
            sorted({result.device_class for result in measured.results if result.device_class}) if measured else ()
        ):
            entry = found.setdefault(name, {"deviceClass": name, "measurements": []})
            if name in declared:
                entry["hardware"] = declared[name].spec.hardware
            environment = dict(sorted(measured.environment.items())) if measured else {}
            entry["measurements"].append({"evidence": item.path, "environment": environment})
    return [found[name] for name in sorted(found)]


def _by_class(figures: Sequence[Figure]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        found.setdefault(figure.key[1] or ANY, []).append(figure.described())
    return found


def _signing(known: Known) -> list[dict[str, Any]]:
    """Who vouches for the artifact, and by which files."""
    signers = sorted({item.signer for item in known.evidence if item.signer and item.problem is None})
    return [
        {
            "key": signer,
            "declaration": f"policies/{signer if '/' in signer else f'keys/{signer}'}.yaml",
            "files": sorted(item.path for item in known.evidence if item.signer == signer and item.problem is None),
        }
        for signer in signers
    ]


def _rebuilds(known: Known) -> list[dict[str, Any]]:
    found = []
    for item in _sorted(known.evidence):
        rebuilt = rebuild_of(item)
        if rebuilt is not None:
            said = rebuilt.model_dump(mode="json", by_alias=True)
            found.append({**said, "signer": item.signer, "evidence": item.path})
    return found


def _address(item: Evidence, digest: str) -> dict[str, Any]:
    return {
        "address": item.path,
        "digest": digest,
        "believed": item.problem is None,
        **({"problem": item.problem} if item.problem else {}),
        **({"predicateType": item.predicate_type} if item.problem is None else {}),
        **({"signer": item.signer} if item.problem is None else {}),
        **({"madeAt": utc_text(item.made_at)} if item.problem is None and item.made_at else {}),
    }


def _sorted(evidence: Sequence[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda item: item.path)
