"""The way back: the last releases stay deployable, and going back to them was rehearsed.

The releases to go back to are those of the model that are older than the one that gets wider, of tier `production` or
above, newest first, as many as the tier asks for. There are fewer at the beginning of a model's life; then these.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from muster.check.advance import Advance
from muster.check.case import Case
from muster.check.change import tier_rank
from muster.check.stakes import declared_tier
from muster.check.standing import ASK
from muster.check.verdict import Outcome, Verdict
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import version_key
from muster.kinds.evidence import REHEARSAL, Evidence, Rehearsal
from muster.kinds.finding import Pointer
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import format_duration
from muster.kinds.release import Release

DEPLOYABLE = "transition/deployable"
REHEARSED = "transition/rehearsal"


def older_releases(fleet: Fleet, release: Release, most: int) -> tuple[Release, ...]:
    """The releases to go back to from this one, newest first."""
    found = (
        older
        for older in fleet.releases_of(release.model)
        if version_key(older.version) < version_key(release.version) and _is_production(older)
    )
    return tuple(found)[:most]


def deployable_verdicts(case: Case, advance: Advance) -> Iterator[Verdict]:
    """One for each release to go back to."""
    for older in older_releases(case.change.head, advance.release, advance.tier.deployable):
        outcome, message, hint = _deployable(case, advance, older)
        yield Verdict(DEPLOYABLE, older.name, outcome, message, hint, tier=advance.tier_name, where=Pointer(older.path))


def _deployable(case: Case, advance: Advance, older: Release) -> tuple[Outcome, str, str]:
    name = advance.release.name
    shared = [
        found
        for found in case.change.head.device_classes
        if older.model in found.spec.models
        and older.runtime_for(found.metadata.name)
        and advance.release.runtime_for(found.metadata.name)
    ]
    if not shared:
        return "fail", f"no class that gets {name} could go back to it", "make a release that these classes can run"
    for found in shared:
        problem = _misfit(older, found)
        if problem:
            hint = f"make a release for {found.metadata.name} as it is now, to go back to"
            return "fail", f"{found.metadata.name} could not go back to it: {problem}", hint
    if case.controller is None:
        return "inconclusive", "whether its artifact is at hand is not known: no controller was asked", ASK
    if older.spec.artifact.digest not in case.controller.stored:
        hint = f"put it into the controller's store: muster build {older.path}"
        return "fail", f"its artifact {older.spec.artifact.digest} is not at hand", hint
    return "pass", f"its artifact is at hand, and every class that gets {name} runs it", ""


def _misfit(release: Release, device_class: DeviceClass) -> str:
    runtime, has = release.runtime_for(device_class.metadata.name), device_class.spec.runtime
    if runtime is None or (runtime.name, runtime.version) != (has.name, has.version):
        return f"it needs {runtime.name} {runtime.version}, not {has.version}" if runtime else "it has no runtime"
    if runtime.provider not in has.providers:
        return f"it needs {runtime.provider}"
    if release.spec.artifact.size > device_class.spec.budgets.storage:
        return f"its {release.spec.artifact.size} bytes are more than the storage budget"
    return ""


def removal_verdicts(case: Case) -> Iterator[Verdict]:
    """One for each release that is removed though it is one of the last to go back to.

    A rollback may remove what it takes devices back from: what is newer than all that still reaches any.
    """
    for release in case.change.removed:
        if case.change.is_rollback and release.spec.rollout.reaches_any and _is_newest(case.change.head, release):
            continue
        running = case.change.base_running.get(release.model)
        tier = declared_tier(case.change.base, release.spec.tier)
        if running is None or tier is None or not _is_production(release):
            continue
        last = [running] if _is_production(running) else []
        last += older_releases(case.change.base, running, tier.deployable)
        if release.name in {found.name for found in last[: tier.deployable]}:
            said = f"it is one of the last {tier.deployable} releases of its model, which stay deployable"
            yield Verdict(
                DEPLOYABLE, release.name, "fail", said, "keep its file; at 0% it reaches no device", tier=tier.name
            )


def _is_newest(head: Fleet, release: Release) -> bool:
    return all(
        version_key(other.version) < version_key(release.version)
        for other in head.releases_of(release.model)
        if other.spec.rollout.reaches_any
    )


def rehearsal_verdicts(case: Case, advance: Advance) -> Iterator[Verdict]:
    """One, if the tier asks for it and there is something to go back to."""
    within, release = advance.tier.rehearsed_within, advance.release
    if within is None or not older_releases(case.change.head, release, 1):
        return
    newest = max(_rehearsals(case, release), key=lambda pair: pair[0].made_at or case.now, default=None)
    path, measured = None, None
    outcome: Outcome = "fail"
    if newest is None:
        message = "going back from it, or from what it supersedes, was not rehearsed by anybody whom the base trusts"
    else:
        evidence, rehearsal = newest
        path = evidence.path
        age = (case.now - evidence.made_at) // timedelta(microseconds=1) if evidence.made_at else 0
        measured = f"{age // 86_400_000_000}d"
        message = f"going back from {rehearsal.release} to {rehearsal.back_to} was rehearsed {measured} ago"
        if not rehearsal.returned:
            message += ", and devices did not come back"
        elif _is_expired(rehearsal, case.now):
            message += f"; it expired at {rehearsal.expires_at}"
        elif age > within:
            message += f"; at most {format_duration(within)} may pass"
        else:
            outcome = "pass"
    yield Verdict(
        rule=REHEARSED,
        subject=release.name,
        outcome=outcome,
        message=message,
        hint="" if outcome == "pass" else f"muster evidence rehearsal {release.path} --key KEY",
        tier=advance.tier_name,
        measured=measured,
        threshold=f"<= {format_duration(within)}",
        evidence=path,
        where=Pointer(release.path),
    )


def _rehearsals(case: Case, release: Release) -> Iterator[tuple[Evidence, Rehearsal]]:
    """Rehearsals that are believed: signed by a key of the base, about the release that they name, and not to come.

    Of those that the change takes away only the bad ones: they stay on record.
    """
    head = case.change.head_releases
    named = {release.name: release}
    superseded = head.get(f"{release.model}/{release.spec.supersedes}")
    if superseded is not None:
        named[superseded.name] = superseded
    for evidence in (*case.evidence, *case.former_evidence):
        rehearsal = _read(evidence)
        rehearsed = named.get(rehearsal.release) if rehearsal else None
        if rehearsal is None or rehearsed is None or rehearsed.spec.artifact.digest not in evidence.subjects:
            continue
        back_to = head.get(rehearsal.back_to)
        backward = back_to is not None and back_to in older_releases(case.change.head, rehearsed, len(head))
        in_time = evidence.made_at is not None and evidence.made_at <= case.now
        if backward and in_time and (evidence in case.evidence or not rehearsal.returned):
            yield evidence, rehearsal


def _is_expired(rehearsal: Rehearsal, now: datetime) -> bool:
    """True from the moment that it names itself; what is no moment has passed."""
    if rehearsal.expires_at is None:
        return False
    try:
        return datetime.strptime(rehearsal.expires_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) <= now
    except ValueError:
        return True


def _read(evidence: Evidence) -> Rehearsal | None:
    if evidence.predicate_type != REHEARSAL or evidence.signer is None or evidence.problem is not None:
        return None
    try:
        return Rehearsal.model_validate(evidence.predicate)
    except ValidationError:
        return None


def _is_production(release: Release) -> bool:
    return tier_rank(release.spec.tier) >= tier_rank("production")
