"""Judgements made by hand, through the difference of two small fleets, for the reports to show."""

from __future__ import annotations

from fleets import make_fleet, make_release
from muster.check.change import Touched, difference
from muster.check.judgement import Judgement, NeededApproval, Row
from muster.check.verdict import Verdict, Waived
from muster.kinds.finding import Place, Pointer
from muster.kinds.pull_request import PullRequest

OLD, NEW = "meter-reader/1.0.0", "meter-reader/1.1.0"
NEW_FILE = "releases/meter-reader/1.1.0.yaml"
REQUEST = PullRequest(base="a" * 40, head="b" * 40, author="dana", title="Canary 1.1.0", number=7, forge="github")
HOLDS = Verdict(
    "gate/artifact-size",
    NEW,
    "pass",
    "1000 bytes fit",
    tier="production",
    gate="size",
    device_class="cam-day",
    measured="1000B",
    threshold="<= 1MiB",
)
ACCURACY = Verdict(
    "gate/accuracy",
    NEW,
    "fail",
    "accuracy on night is 91.2%, below 95%",
    "train on more night frames, then run `muster measure releases/meter-reader/1.1.0.yaml --key KEY`",
    tier="production",
    gate="accuracy-kept",
    slice="night",
    measured="91.2%",
    threshold=">= 95%",
    evidence=f"evidence/{'ab' * 32}/measurement.json",
    where=Pointer(NEW_FILE, ("spec", "artifact")),
    place=Place(NEW_FILE, 12, 3),
)
LATENCY = Verdict(
    "gate/p95-latency",
    NEW,
    "error",
    "no budget is declared",
    "declare spec.budgets.p95Latency",
    tier="production",
    gate="fast-enough",
    device_class="cam-day",
    where=Pointer("devices/classes/cam-day.yaml", ("spec", "budgets")),
)
SOAK = Verdict(
    "transition/soak",
    NEW,
    "inconclusive",
    "canary has run 5% for 3h of 24h",
    "merge after the soak",
    tier="production",
    lifts_at="2026-05-02T09:00:00Z",
    where=Pointer(NEW_FILE, ("spec", "rollout")),
    place=Place(NEW_FILE, 60, 5),
)
WEAKENED = Verdict(
    "weakening/threshold",
    "policies/default.yaml",
    "fail",
    "gate accuracy-kept asks for less: 95% → 90%",
    "keep it, or ask the owners of policy",
    where=Pointer("policies/default.yaml", ("spec", "tiers", 0, "gates", 0, "threshold")),
    place=Place("policies/default.yaml", 31, 20),
)
UNSIGNED = Verdict(
    "checklist/support", NEW, "fail", "nobody signed the item", "let QA approve it", severity="warn", tier="production"
)
WAIVED = Verdict(
    "gate/inference-cost",
    NEW,
    "fail",
    "12M operations are more than 10M",
    "prune the model",
    tier="production",
    gate="cost",
    measured="12M",
    threshold="<= 10M",
    waived=Waived("cost-in-may", "erin", "new budget from June on", "2026-05-20"),
)


def row(cohort: str, now, then, **given) -> Row:
    """A row of the plan; `now` and `then` are (version, percent) pairs."""
    shares = [tuple((f"meter-reader/{version}", share * 10_000) for version, share in side) for side in (now, then)]
    told = {"device_class": "cam-day", "moved_ppm": 50_000, "devices": 20, "direction": "forward", "download": 20_000}
    return Row("meter-reader", cohort=cohort, now=shares[0], then=shares[1], tier="production", **(told | given))


STAYS = row("fleet", [("1.0.0", 100)], [("1.0.0", 100)], moved_ppm=0, devices=0, direction="same", download=0)


def canary(*verdicts: Verdict, approvals=(), notes=()) -> Judgement:
    """1.1.0 is added and goes to a part of the canary cohort."""
    base = make_fleet(make_release("1.0.0", {"canary": "100%", "fleet": "100%"}))
    head = make_fleet(
        make_release("1.0.0", {"canary": "100%", "fleet": "100%"}),
        make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0"),
    )
    change = difference(base, head, (Touched(NEW_FILE, None, "1" * 40),))
    rows = (row("canary", [("1.0.0", 100)], [("1.1.0", 5), ("1.0.0", 100)]), STAYS)
    return Judgement(change, REQUEST, rows, verdicts, approvals, notes)


def passing() -> Judgement:
    """Everything holds."""
    return canary(HOLDS, approvals=(NeededApproval("releases/**", ("ada", "ben"), 1, ("ada",)),))


def blocked() -> Judgement:
    """Several sections do not hold, in each of the ways."""
    return canary(
        HOLDS,
        ACCURACY,
        LATENCY,
        SOAK,
        WEAKENED,
        UNSIGNED,
        approvals=(NeededApproval("a weakened policy", ("ada", "ben"), 2, ("ben",)),),
        notes=("no controller was asked: the plan is in percent",),
    )


def waived() -> Judgement:
    """What does not hold is waived."""
    return canary(HOLDS, WAIVED)


def rollback() -> Judgement:
    """1.1.0 is taken back from the canary cohort."""
    before = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
    base = make_fleet(before, make_release("1.1.0", {"canary": "25%"}, supersedes="1.0.0"))
    head = make_fleet(before, make_release("1.1.0", {"canary": "0%"}, supersedes="1.0.0"))
    change = difference(base, head, (Touched(NEW_FILE, "1" * 40, "2" * 40),), frozenset([NEW]))
    back = row(
        "canary",
        [("1.1.0", 25), ("1.0.0", 100)],
        [("1.0.0", 100)],
        moved_ppm=250_000,
        devices=None,
        direction="back",
        download=0,
    )
    skipped = Verdict("transition/step", NEW, "pass", "a rollback: steps and soak are skipped", tier="production")
    return Judgement(change, REQUEST, (back, STAYS), (skipped,), (), ("a rollback: steps and soak are skipped",))


def unchanged() -> Judgement:
    """Nothing that Muster knows differs."""
    fleet = make_fleet(make_release("1.0.0", {"canary": "100%", "fleet": "100%"}))
    return Judgement(difference(fleet, fleet, ()), REQUEST, (STAYS,), (), (), ("no controller was asked",))


JUDGEMENTS = {
    "pass": passing,
    "blocked": blocked,
    "waived": waived,
    "rollback": rollback,
    "no-change": unchanged,
}
