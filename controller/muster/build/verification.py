"""Does a release rebuild? Every stage again, without the cache, each output compared with its pin.

Two claims, told apart: the ranges that calibration finds again are the pinned table's (`calibrated`,
`calibration_table`); and from the pinned table the artifact comes out bit for bit (`quantized`, `artifact`). So
quantization starts from the pinned table if the store holds it, and a difference in calibration does not hide the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from muster.artifacts.store import Store
from muster.build.pipeline import BuildInputs, BuildResult, RunStages, build, first_difference, pins_of, where_to_run
from muster.build.stages import Reporter
from muster.kinds.release import Release


@dataclass(frozen=True)
class Comparison:
    """One output: what the release pins, and what came out."""

    output: str
    pinned: str
    found: str

    @property
    def identical(self) -> bool:
        """True if they are the same."""
        return self.pinned == self.found


@dataclass(frozen=True)
class Verification:
    """All outputs in the order of the stages. `table` tells which table quantization started from."""

    release: str
    comparisons: tuple[Comparison, ...]
    table: Literal["pinned", "calibrated"]
    result: BuildResult

    @property
    def first_difference(self) -> str | None:
        """Name of the first output that differs; None if all are identical."""
        return next((item.output for item in self.comparisons if not item.identical), None)


def verify_release(
    release: Release,
    store: Store,
    lock_bytes: bytes,
    *,
    reporter: Reporter | None = None,
    run: RunStages | None = None,
) -> Verification:
    """Rebuild a release from its pins and compare. Raises as `build_release` does."""
    run = where_to_run(release.spec.builder, lock_bytes, run)
    pinned_table = release.spec.calibration_table if store.has(release.spec.calibration_table) else None
    inputs = BuildInputs.of(release)
    result = build(inputs, store, cached=False, reporter=reporter, pinned_table=pinned_table, run=run)
    result = replace(result, difference=first_difference(release, result.outputs))
    pairs = zip(pins_of(release).in_order(), result.outputs.in_order(), strict=True)
    return Verification(
        release=release.name,
        comparisons=tuple(Comparison(name, pinned, found) for (name, pinned), (_, found) in pairs),
        table="pinned" if pinned_table else "calibrated",
        result=result,
    )
