"""A rebuild as evidence says it: GOOD, BAD or UNKNOWN, and which of two claims it is about.

| level | claim                                                                     |
|-------|---------------------------------------------------------------------------|
| L1    | from the pinned calibration table, the artifact comes out bit for bit      |
| L2    | calibration finds the pinned table again too, and every stage its output   |

GOOD is said at the highest level that held. BAD is said at the level that broke: L2 if only calibration began to
differ and no pinned table was there to quantize from. UNKNOWN says that nobody could tell: an input was missing or
damaged, or the environment was not the locked one.

What is GOOD at L2 can be built again in other circumstances (`vary`): it is BAD if other bytes come out in one of them,
and UNKNOWN if nothing does. What is not GOOD at L2 here already has its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from muster.artifacts.store import DamagedObject, Store
from muster.build.hermetic.run import HermeticRun
from muster.build.measuring.machine import Machine
from muster.build.pipeline import BuildResult, RunStages
from muster.build.stages import Reporter
from muster.build.varied import VariedBuild, build_varied, variations
from muster.build.verification import Verification, verify_release
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.kinds.evidence import Rebuild, Variation
from muster.kinds.moment import utc_text
from muster.kinds.release import Release

_LONGEST = 1_000
_CALIBRATION = frozenset({"calibrated", "calibration_table"})
_Level = Literal["L1", "L2"]
_Verdict = Literal["GOOD", "BAD", "UNKNOWN"]


@dataclass(frozen=True)
class Outcome:
    """What is recorded, and why it is not GOOD at L2, where it is not. `result`: what was built, if it is GOOD."""

    rebuild: Rebuild
    reason: str | None
    result: BuildResult | None = None


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
    found = _in(run, _outcome(release, about, judged, verification.table, _reason(verification)))
    return replace(found, result=verification.result) if found.rebuild.verdict == "GOOD" else found


def vary(
    outcome: Outcome,
    release: Release,
    store: Store,
    run: HermeticRun,
    told: Callable[[VariedBuild], None] = lambda _: None,
) -> Outcome:
    """The outcome after the varied builds of what is GOOD at L2; any other as it is. Raises `TryAgain`."""
    if (outcome.rebuild.level, outcome.rebuild.verdict) != ("L2", "GOOD"):
        return outcome
    try:
        found = build_varied(release, store, run, variations(), told)
    except TryAgain:
        raise
    except MusterError as error:
        found = (VariedBuild("plain", "failed", 0.0, error.message),)
    return judge_varied(outcome, found)


def judge_varied(outcome: Outcome, found: Sequence[VariedBuild]) -> Outcome:
    """What varied builds make of a rebuild that was GOOD at L2."""
    listed = tuple(Variation(name=one.variation, outcome=one.outcome, reason=_explained(one)) for one in found)
    judged: dict[str, object] = {"varied": listed}
    reason = outcome.reason
    for wanted, verdict in (("failed", "UNKNOWN"), ("different", "BAD")):
        if these := [one for one in found if one.outcome == wanted]:
            only_calibration = all(one.first_difference in _CALIBRATION for one in these)
            judged |= {"verdict": verdict, "level": "L2" if only_calibration else "L1"}
            reason = f"{these[0].variation}: {_explained(these[0])}"
    rebuild = outcome.rebuild.model_copy(update=judged)
    return Outcome(rebuild, reason, outcome.result if rebuild.verdict == "GOOD" else None)


def _explained(one: VariedBuild) -> str | None:
    parts = [one.reason] if one.reason else []
    if one.difference:
        cause = one.difference["causes"][0]
        parts += [one.difference["summary"], f"cause: {cause['cause']} ({cause['certainty']}): {cause['evidence']}"]
    elif one.outcome == "different" and not parts:
        parts.append("other bytes came out")
    return "; ".join(parts)[:_LONGEST] or None


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
