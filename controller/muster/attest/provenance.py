"""SLSA Provenance v1 of a build and of a rebuild: what went in, on what it ran, and what came out.

Format: SLSA 1.0, `spec/v1.0/provenance`; what stands in its fields here: `docs/provenance.md`. Whoever reads it can
repeat the build: the parameters are everything that decides the artifact's bytes, and every dependency stands there by
digest. Times stand here and never in an artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from muster import __version__
from muster.build.measuring.machine import Machine
from muster.build.pipeline import BuildResult
from muster.kinds.digest import digest_of_value, hex_of
from muster.kinds.errors import Unusable
from muster.kinds.evidence import BUILD_TYPE, REBUILD_TYPE, Rebuild
from muster.kinds.moment import utc_text
from muster.kinds.release import Release

LOCAL_BUILDER: Final = "muster:builder/local"
"""A build on somebody's own machine: trusted as far as whoever signs it."""

REBUILDER: Final = "muster:rebuilder/local"
"""A rebuild on somebody's own machine."""


def provenance_of(
    release: Release, result: BuildResult, ran: tuple[datetime, datetime], builder: str, machine: Machine
) -> dict[str, Any]:
    """The predicate for a build that ran from one moment to another. Raises `Unusable` for a builder that is no URI."""
    if not _is_uri(builder):
        raise Unusable(f"{builder!r} is no URI", "name the builder, such as https://ci.example.org/builders/onnx")
    return _predicate(release, result, ran, machine, (BUILD_TYPE, builder, {}))


def rebuild_provenance_of(
    release: Release, result: BuildResult, ran: tuple[datetime, datetime], rebuild: Rebuild, machine: Machine
) -> dict[str, Any]:
    """The predicate for a GOOD rebuild: it names the table that quantization started from, and a real CPU if the one
    that computed was emulated.
    """
    told = {"fromTable": rebuild.from_table, "level": rebuild.level}
    emulated = {"emulatedOn": rebuild.emulated_on} if rebuild.emulated_on else {}
    return _predicate(release, result, ran, machine, (REBUILD_TYPE, REBUILDER, told | emulated))


def _predicate(
    release: Release,
    result: BuildResult,
    ran: tuple[datetime, datetime],
    machine: Machine,
    kind: tuple[str, str, dict[str, str]],
) -> dict[str, Any]:
    """`kind`: build type, builder, and what else is told of how it ran."""
    build_type, builder, told = kind
    return {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": _parameters(release),
            "internalParameters": {"machine": machine.described(), "threads": "1", **told},
            "resolvedDependencies": _dependencies(release, result.tools, machine),
        },
        "runDetails": {
            "builder": {"id": builder, "version": {"muster": __version__}},
            "metadata": {"startedOn": utc_text(ran[0]), "finishedOn": utc_text(ran[1])},
            "byproducts": [
                {"name": name, "digest": {"sha256": hex_of(digest)}}
                for name, digest in result.outputs.in_order()
                if name != "artifact"
            ],
        },
    }


def _parameters(release: Release) -> dict[str, Any]:
    spec = release.spec
    return {
        "release": release.name,
        "pins": release.pins,
        "recipe": spec.recipe.model_dump(mode="json"),
        "inference": spec.inference.model_dump(mode="json"),
        "onnx": spec.onnx.model_dump(mode="json"),
        "tolerance": str(spec.snapshots.golden.tolerance),
    }


def _dependencies(release: Release, used: Mapping[str, str], machine: Machine) -> list[dict[str, Any]]:
    spec = release.spec
    digests = {
        "recipe": digest_of_value(spec.recipe.model_dump(mode="json", by_alias=True)),
        "source": spec.source.digest,
        "calibration": spec.snapshots.calibration,
        "evaluation": spec.snapshots.evaluation,
        "golden": spec.snapshots.golden.inputs,
        "calibrationTable": spec.calibration_table,
        spec.builder.lock: spec.builder.digest,
    }
    pinned = [{"name": name, "digest": {"sha256": hex_of(digest)}} for name, digest in digests.items()]
    # Their hashes, one per platform, stand in the lock.
    tools = [{"uri": f"pkg:pypi/{name}@{version}"} for name, version in sorted(used.items())]
    # Two builders count as different if this differs: vendor, family and model of the processor.
    processor = {"name": "cpu", "uri": f"muster:cpu/{quote(machine.cpu, safe='/')}"}
    return [*pinned, *tools, processor]


def _is_uri(text: str) -> bool:
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest and scheme.isascii() and scheme[:1].isalpha() and text.isprintable() and " " not in text)
