"""Waivers: owned, expiring exceptions to one gate for one release.

Only those of the base count, and only against gates. What a waiver hides stays in the report; a waiver that has expired
turns every verdict of its gate that does not hold into a failure. Never hidden: that nobody vouches for the bytes (the
gates on signature and provenance), and that a rebuild came out different (a BAD one).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date

from muster.check.case import Case
from muster.check.change import Change, path_of
from muster.check.verdict import Verdict, Waived
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.owners import Owners
from muster.kinds.policy import Gate, Policy
from muster.kinds.waiver import LONGEST_DAYS, Waiver

NEVER_HIDDEN = ("signature", "provenance")
RULE = "gate/waiver"


def apply_waivers(verdicts: Iterable[Verdict], case: Case) -> tuple[Verdict, ...]:
    """The same verdicts; those that a waiver of the base hides say so, those whose waiver does not hold say why.

    After them, a verdict for each waiver of the base that has expired and still stands at the head.
    """
    by_gate: dict[tuple[str, str], list[Waiver]] = {}
    for waiver in case.change.base.waivers:
        by_gate.setdefault((waiver.spec.release, waiver.spec.gate), []).append(waiver)
    answered = tuple(
        _answered(verdict, by_gate.get((verdict.subject, verdict.gate or ""), ()), case) for verdict in verdicts
    )
    return (*answered, *_expired(case))


def new_waivers(change: Change) -> tuple[Waiver, ...]:
    """Waivers that the head adds or edits: each weakens a gate, and needs an approval of the policy owners."""
    old = {waiver.metadata.name: waiver for waiver in change.base.waivers}
    return tuple(waiver for waiver in change.head.waivers if old.get(waiver.metadata.name) != waiver)


def _answered(verdict: Verdict, waivers: Collection[Waiver], case: Case) -> Verdict:
    if not waivers or verdict.outcome == "pass" or verdict.section != "gate":
        return verdict
    refusals = {waiver.metadata.name: _refusal(waiver, verdict, case) for waiver in waivers}
    for waiver in waivers:
        if refusals[waiver.metadata.name] is None:
            spec = waiver.spec
            return replace(verdict, waived=Waived(waiver.metadata.name, spec.owner, spec.reason, spec.expires))
    told = "; ".join(f"waiver {name} {why}" for name, why in sorted(refusals.items()))
    expired = any(_has_expired(waiver, case) for waiver in waivers)
    return replace(verdict, outcome="fail" if expired else verdict.outcome, message=f"{verdict.message}; {told}")


def _refusal(waiver: Waiver, verdict: Verdict, case: Case) -> str | None:
    """Why the waiver does not hide this verdict; None if it does."""
    if verdict.rule.partition("/")[2] in NEVER_HIDDEN:
        return "cannot hide that nobody vouches for these bytes"
    if verdict.rule == "gate/reproducibility" and _rebuilt_differently(verdict.subject, case):
        return "cannot hide that a rebuild came out different"
    return _invalid(waiver, case.change.base.owners, _today(case))


def _invalid(waiver: Waiver, owners: Owners | None, today: date) -> str | None:
    problem = next((what for _, what, _ in _problems(waiver)), None)
    if problem is not None:
        return f"does not hold: {problem}"
    if not _owned(waiver, owners):
        return f"does not hold: {waiver.spec.owner} is no policy owner of the base"
    if date.fromisoformat(waiver.spec.granted) > today:
        return f"does not hold before {waiver.spec.granted}"
    if date.fromisoformat(waiver.spec.expires) < today:
        return f"expired on {waiver.spec.expires}"
    return None


def _owned(waiver: Waiver, owners: Owners | None) -> bool:
    if owners is None or owners.person(waiver.spec.owner) is None:
        return False
    return waiver.spec.owner.casefold() in {login.casefold() for login in owners.spec.policy_owners}


def _rebuilt_differently(release_name: str, case: Case) -> bool:
    """True if a trusted rebuild of the release's artifact is BAD."""
    release = case.change.head_releases.get(release_name)
    return release is not None and any(
        one.came_out_different and release.spec.artifact.digest in one.subjects for one in case.evidence
    )


def _has_expired(waiver: Waiver, case: Case) -> bool:
    return not any(_problems(waiver)) and date.fromisoformat(waiver.spec.expires) < _today(case)


def _expired(case: Case) -> Iterator[Verdict]:
    """Expired waivers that the head keeps: failed wherever anybody looks, though they block only what they hid."""
    kept = {waiver.metadata.name for waiver in case.change.head.waivers}
    for waiver in case.change.base.waivers:
        spec = waiver.spec
        if (
            waiver.metadata.name in kept
            and not list(_problems(waiver))
            and date.fromisoformat(spec.expires) < _today(case)
        ):
            yield Verdict(
                rule=RULE,
                subject=spec.release,
                outcome="fail",
                message=f"waiver {waiver.metadata.name} of gate {spec.gate} expired on {spec.expires}",
                hint=f"meet the gate, or take the release back; then remove {path_of(waiver)}",
                severity="warn",
                gate=spec.gate,
                where=Pointer(path_of(waiver), ("spec", "expires")),
            )


def _today(case: Case) -> date:
    return case.now.astimezone(UTC).date()


def waiver_complaints(
    waivers: Mapping[str, Waiver], releases: Collection[str], policies: Collection[Policy]
) -> Iterator[Complaint]:
    """Complaints about waivers by path, before anybody knows what day it is.

    `releases` are the names of all that are declared, or may be by a file that was not read. Without `policies`, gates
    are taken as good.
    """
    gates = _gates(policies)
    for path, waiver in waivers.items():
        for field, what, hint in _problems(waiver):
            yield Complaint(Pointer(path, ("spec", field)), "waiver", what, hint)
        found = gates.get(waiver.spec.gate, ())
        if not found and policies:
            names = ", ".join(sorted(gates)[:20]) or "nothing"
            what = f"gate {waiver.spec.gate} is not declared"
            yield Complaint(Pointer(path, ("spec", "gate")), "dangling", what, f"the policy declares {names}")
        if found and all(gate.metric in NEVER_HIDDEN for gate in found):
            what = f"gate {waiver.spec.gate} cannot be waived: nobody would vouch for the bytes"
            yield Complaint(Pointer(path, ("spec", "gate")), "waiver", what, "produce the evidence that it reads")
        if waiver.spec.release not in releases:
            what = f"release {waiver.spec.release} is not declared"
            yield Complaint(Pointer(path, ("spec", "release")), "dangling", what, "remove the waiver with its release")


def _gates(policies: Iterable[Policy]) -> dict[str, list[Gate]]:
    found: dict[str, list[Gate]] = {}
    for policy in policies:
        for tier in policy.spec.tiers:
            for gate in tier.gates:
                found.setdefault(gate.name, []).append(gate)
    return found


def _problems(waiver: Waiver) -> Iterator[tuple[str, str, str]]:
    """(field, what is wrong, what would be right) of the dates."""
    days = {}
    for field in ("granted", "expires"):
        try:
            days[field] = date.fromisoformat(getattr(waiver.spec, field))
        except ValueError:
            yield field, f"{getattr(waiver.spec, field)} is no day", 'write a day such as "2026-03-31"'
    if len(days) < 2:
        return
    length = (days["expires"] - days["granted"]).days
    if length < 0:
        yield "expires", "it expires before it is granted", "let it expire after it is granted"
    if length > LONGEST_DAYS:
        yield (
            "expires",
            f"it lasts {length} days, more than {LONGEST_DAYS}",
            f"let it expire within {LONGEST_DAYS} days",
        )
