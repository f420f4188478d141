"""A release built several times, each time in other circumstances: the artifact must come out the same in all of them.

What is varied: hash seed, locale, time zone, umask, folder, threads, kernels of numpy, user, and the CPU. Each build
starts from the source model and the snapshots alone, in a process and a store of its own, and calibrates anew. What
cannot be varied here is skipped with its reason, and never counts as the same.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from muster.artifacts.store import DamagedObject, Store
from muster.build.difference.report import difference_report
from muster.build.difference.sides import facts_of, side_of
from muster.build.emulation import emulator
from muster.build.hermetic.process import Circumstances
from muster.build.hermetic.run import HermeticRun
from muster.build.pipeline import BuildInputs, BuildResult, build, first_difference
from muster.build.sandbox.confinement import Level
from muster.build.sandbox.run import strongest
from muster.kinds.errors import MusterError, Refused
from muster.kinds.release import Release

CPUS: Final = ("Nehalem", "Haswell")
"""Emulated: the oldest that numpy's wheels run on, without AVX and FMA; and one with both, without AVX-512 and VNNI."""

_ANOTHER_USER: Final = 4_321

Outcome = Literal["same", "different", "skipped", "failed"]


@dataclass(frozen=True)
class Variation:
    """One set of circumstances; `missing` says why it cannot be had here."""

    name: str
    circumstances: Circumstances
    cpu: str | None = None
    missing: str | None = None


@dataclass(frozen=True)
class VariedBuild:
    """How one variation came out. `difference`: the report against the first build, the plain one."""

    variation: str
    outcome: Outcome
    seconds: float
    reason: str | None = None
    artifact: str | None = None
    first_difference: str | None = None
    difference: dict[str, Any] | None = None


def variations() -> tuple[Variation, ...]:
    """What can be varied on this machine, and what cannot."""
    surroundings = {
        "PYTHONHASHSEED": "12345",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Pacific/Kiritimati",
    }
    threads = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "1"}
    kernels = {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
        "TZ": "America/St_Johns",
        "LC_ALL": "C",
    }
    user = replace(Circumstances(umask=0o077), user=_ANOTHER_USER)
    return (
        Variation("plain", Circumstances()),
        Variation("hash seed, locale and zone", Circumstances(surroundings, umask=0o077)),
        Variation("folder, umask and threads", Circumstances(threads, umask=0, inside="another folder, größer")),
        Variation("other kernels of numpy", Circumstances(kernels), missing=_lacks_kernels()),
        Variation("another user", user, missing=_lacks_user()),
        *(_emulated(cpu) for cpu in CPUS),
    )


def build_varied(
    release: Release,
    store: Store,
    run: HermeticRun,
    among: Sequence[Variation],
    told: Callable[[VariedBuild], None] = lambda _: None,
) -> tuple[VariedBuild, ...]:
    """Build in each variation, `told` after each. Raises what the first build raises if not even that can be done."""
    found = []
    for one in _each(release, store, run, among):
        told(one)
        found.append(one)
    return tuple(found)


def _each(release: Release, store: Store, run: HermeticRun, among: Sequence[Variation]) -> Iterator[VariedBuild]:
    first: tuple[BuildResult, bytes, str | None] | None = None
    for variation in among:
        if variation.missing is not None:
            yield VariedBuild(variation.name, "skipped", 0.0, variation.missing)
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="muster-varied-") as name:
            inside = _filled(release, store, Store(Path(name)))
            try:
                around = replace(run, circumstances=variation.circumstances)
                result = build(BuildInputs.of(release), inside, cached=False, run=around)
            except MusterError as error:
                if first is None:
                    raise
                yield VariedBuild(variation.name, _how(error), time.perf_counter() - began, error.message)
                continue
            model = inside.get(result.outputs.quantized)
        if first is None:
            first = result, model, variation.cpu
        yield _judged(release, store, (result, model, variation), first, time.perf_counter() - began)


def _how(error: MusterError) -> Outcome:
    """What is refused here and was taken in the plain build is an answer; what could not be built is none."""
    answered = isinstance(error, Refused) and not isinstance(error, DamagedObject)
    return "different" if answered else "failed"


def _judged(
    release: Release,
    store: Store,
    found: tuple[BuildResult, bytes, Variation],
    first: tuple[BuildResult, bytes, str | None],
    seconds: float,
) -> VariedBuild:
    result, model, variation = found
    against_pins = first_difference(release, result.outputs)
    difference = None
    if result.outputs != first[0].outputs:
        facts = facts_of(release, store)
        sides = (
            side_of(name, data, replace(facts, outputs=_outputs(built), machine={"cpu": cpu or platform.machine()}))
            for name, built, data, cpu in (
                ("plain", first[0], first[1], first[2]),
                (variation.name, result, model, variation.cpu),
            )
        )
        difference = difference_report(*sides)
    return VariedBuild(
        variation=variation.name,
        outcome="same" if against_pins is None and difference is None else "different",
        seconds=seconds,
        reason=None if against_pins is None else f"{against_pins} is not as the release pins it",
        artifact=result.artifact.digest,
        first_difference=against_pins,
        difference=difference,
    )


def _outputs(result: BuildResult) -> dict[str, str]:
    return {name: digest for name, digest in result.outputs.in_order() if digest}


def _filled(release: Release, store: Store, inside: Store) -> Store:
    """A store with the release's inputs and nothing that a build left."""
    inputs = BuildInputs.of(release)
    for digest in (inputs.source, inputs.calibration, inputs.evaluation, inputs.golden):
        # What is missing, the build names as what it is.
        if store.has(digest):
            inside.put(store.get(digest))
    return inside


def _emulated(cpu: str) -> Variation:
    name, there = f"emulated {cpu}", f"qemu {cpu}"
    try:
        return Variation(name, Circumstances(emulator=emulator(cpu)), cpu=there)
    except MusterError as error:
        missing = f"{error.message}: {error.hint}" if error.hint else error.message
        return Variation(name, Circumstances(), cpu=there, missing=missing)


def _lacks_kernels() -> str | None:
    return None if platform.machine() == "x86_64" else f"there is no such choice on {platform.machine()}"


def _lacks_user() -> str | None:
    """Why a build cannot take itself for another user here; None if it can."""
    found = strongest(Level.LIMITS)
    return None if found is Level.NAMESPACES else "this machine gives a build no user namespace of its own"
