"""A rebuild as evidence says it: GOOD, BAD or UNKNOWN, and which of two claims it is about.

| level | claim                                                                     |
|-------|---------------------------------------------------------------------------|
| L1    | from the pinned calibration table, the artifact comes out bit for bit      |
| L2    | calibration finds the pinned table again too, and every stage its output   |

GOOD is said at the highest level that held. BAD is said at the level that broke: L2 if only calibration began to
differ and no pinned table was there to quantize from. UNKNOWN says that nobody could tell: an input was missing or
damaged, or the environment was not the locked one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from muster.artifacts.store import DamagedObject, Store
from muster.build.hermetic.run import HermeticRun
from muster.build.measuring.machine import Machine
from muster.build.pipeline import RunStages
from muster.build.stages import Reporter
from muster.build.verification import Verification, verify_release
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.evidence import Rebuild
from muster.kinds.moment import utc_text
from muster.kinds.release import Release

_CALIBRATION = frozenset({"calibrated", "calibration_table"})
_Level = Literal["L1", "L2"]
_Verdict = Literal["GOOD", "BAD", "UNKNOWN"]


@dataclass(frozen=True)
class Outcome:
    """What is recorded, and why it is not GOOD at L2, where it is not."""

    rebuild: Rebuild
    reason: str | None


def rebuild_release(
    release: Release,
    store: Store,
    lock: bytes,
    about: tuple[Machine, datetime],
    *,
    reporter: Reporter | None = None,
    run: RunStages | None = None,
) -> Outcome:
    """Build a release again, without the cache, and say how it came out. `about`: where, and when.

    Raises `TryAgain` if the disk refuses: that says nothing about the release, and nothing is to be recorded.
    """
    try:
        verification = verify_release(release, store, lock, reporter=reporter, run=run)
    except TryAgain:
        raise
    except (DamagedObject, Unusable) as error:
        return could_not_tell(release, about, error.message)
    except Refused as error:
        return _in(run, _outcome(release, about, ("L1", "BAD"), "pinned", error.message))
    same = {item.output: item.identical for item in verification.comparisons}
    judged = _judge(same, verification.table)
    return _in(run, _outcome(release, about, judged, verification.table, _reason(verification)))


def could_not_tell(release: Release, about: tuple[Machine, datetime], reason: str) -> Outcome:
    """UNKNOWN, where not even a build could begin."""
    return _outcome(release, about, ("L1", "UNKNOWN"), "pinned", reason)


def _in(run: RunStages | None, outcome: Outcome) -> Outcome:
    hermetic = isinstance(run, HermeticRun) and not run.environment.own
    return replace(outcome, rebuild=outcome.rebuild.model_copy(update={"environment": "lock" if hermetic else "own"}))


def _judge(same: Mapping[str, bool], table: Literal["pinned", "calibrated"]) -> tuple[_Level, _Verdict]:
    if all(same.values()):
        return "L2", "GOOD"
    if same["artifact"]:
        return "L1", "GOOD"
    from_the_pins = table == "pinned" or all(same[name] for name in _CALIBRATION)
    return ("L1" if from_the_pins else "L2"), "BAD"


def _reason(verification: Verification) -> str | None:
    first = verification.first_difference
    found = next((item for item in verification.comparisons if item.output == first), None)
    return None if found is None else f"{found.output}: pinned {found.pinned}, found {found.found}"


def _outcome(
    release: Release,
    about: tuple[Machine, datetime],
    judged: tuple[_Level, _Verdict],
    table: Literal["pinned", "calibrated"],
    reason: str | None,
) -> Outcome:
    machine, now = about
    level, verdict = judged
    rebuild = Rebuild(
        release=release.name,
        rebuilt_at=utc_text(now),
        level=level,
        verdict=verdict,
        cpu=machine.cpu,
        from_table=table,
        lock=release.spec.builder.digest,
    )
    return Outcome(rebuild, reason)
