"""The sample ratio is asked of devices' first words: a lost arm is told, a sound rollout is not held."""

from __future__ import annotations

import operator
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import numpy as np

from fleets import PUBLIC_KEY, make_fleet, make_release
from muster.kinds.desired import DesiredDocument
from muster.plan.documents import desired_documents
from muster.plan.draws import Offer, Offers, draw, offers_of, samples
from muster.plan.planner import Publish, make_plan
from muster.plan.statistics.decide import SAMPLE_RATIO_ERROR_PPM, decide
from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import ShareLimit, Shares
from muster.plan.tallies import DRAWN, Cell, Draw, Standing, cells_of
from muster.plan.world import Observed, Published, World

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
NEW = "meter-reader/1.1.0"
STEPS = ((1, 10_000, 0.0), (2, 50_000, 2.0), (3, 250_000, 4.0))
"""Generation, share, and the day at which it is published."""
DAYS, LOOKS_PER_DAY = 9, 2


def rollout(random: np.random.Generator, lost: float = 0.0, devices: int = 3_000) -> list[Counter[Cell]]:
    """What was counted by each look, two a day. `lost`: of the candidate, those that never speak.

    Three in ten devices are on line at any time, the others come some days late, or too late. A download may take most
    of a day, in which a device says nothing.
    """
    here = random.random(devices) < 0.3
    arrives = np.where(here, random.uniform(0, 0.05, devices), random.exponential(3.0, devices))
    step = np.searchsorted([at for _, _, at in STEPS], arrives, side="right") - 1
    came = random.random(devices) * 1_000_000 < np.array([ppm for _, ppm, _ in STEPS])[step]
    speaks = arrives + came * random.choice((0.0, 0.01, 0.1, 0.9), devices)
    heard = ~(came & (random.random(devices) < lost)) & (speaks < DAYS)
    look = np.floor(speaks * LOOKS_PER_DAY).astype(int) + 1
    found: list[Counter[Cell]] = [Counter() for _ in range(DAYS * LOOKS_PER_DAY + 1)]
    said = np.stack([look, step, came, (speaks + 9 / 24).astype(int)], axis=1)[heard]
    for (at, which, inside, day), count in zip(*np.unique(said, axis=0, return_counts=True), strict=True):
        generation, ppm, _ = STEPS[which]
        drawn = Draw(generation, ppm, bool(inside), (START + timedelta(days=int(day))).date().isoformat())
        cell = Cell(NEW, "cam-day", "", generation, generation, left=False, what=DRAWN, bucket=drawn.bucket)
        found[at][cell] += int(count)
    return list(accumulate(found, operator.add))


def alarmed(looks: list[Counter[Cell]]) -> str | None:
    """The sentence of the first look that holds the rollout."""
    for look, tally in enumerate(looks):
        sample = samples(tally, {}, START + timedelta(days=look / LOOKS_PER_DAY))
        parts = sample.get((NEW, "cam-day"), {}).get("", ())
        verdict = decide(ShareLimit(0.5), Shares(), Terms(), parts)
        if verdict.outcome == "cannot-tell":
            return verdict.reason
    return None


def test_sound_rollouts_are_not_held() -> None:
    """500 of them, looked at twice a day while the share grows and devices come late: at most the declared 1 %."""
    random = np.random.default_rng(20260501)
    held = sum(alarmed(rollout(random)) is not None for _ in range(500))
    assert held <= 500 * SAMPLE_RATIO_ERROR_PPM / 1_000_000


def test_an_arm_that_is_lost_is_told_with_its_counts() -> None:
    """Half of those that the offer reached never speak: held, once no download explains it any more."""
    random = np.random.default_rng(7)
    found = [alarmed(rollout(random, lost=0.5)) for _ in range(20)]
    assert sum(reason is not None for reason in found) >= 18
    assert all("candidate: " in reason and " seen, offered " in reason for reason in found if reason)


def test_nothing_is_held_against_downloads_that_are_under_way() -> None:
    """All whom the offer did not reach have spoken, and nobody of the others: for a day that says nothing."""
    drawn = Draw(1, 250_000, came=False, day="2026-01-01")
    cell = Cell(NEW, "cam-day", "", 1, 1, left=False, what=DRAWN, bucket=drawn.bucket)
    looks = [Counter({cell: 500})] * (LOOKS_PER_DAY * 3)
    assert alarmed(looks[:LOOKS_PER_DAY]) is None
    assert alarmed(looks) is not None


def published(*shares: str) -> tuple[Offers, list[DesiredDocument]]:
    """What is drawn after the release was published at each of these shares of both cohorts, and the documents."""
    world, offers, documents = World(signer=PUBLIC_KEY), {}, []
    for generation, share in enumerate(("0%", *shares), start=1):
        old = make_release("1.0.0", {"canary": "100%", "fleet": "100%"}, classes=("cam-day",))
        new = make_release("1.1.0", {"canary": share, "fleet": share}, classes=("cam-day",), supersedes="1.0.0")
        fleet = make_fleet(new, old, classes=("cam-day",))
        ready = World(signer=PUBLIC_KEY, prepared=frozenset({old.pins, new.pins}), published=world.published)
        found = desired_documents(fleet, ready, {}, generation)
        documents.append(found["meter-reader", "cam-day"])
        offers = offers_of(found.values(), offers)
        world = World(published=Published(generation, found))
    return offers, documents


def test_what_is_drawn_follows_the_documents() -> None:
    """By the share that the generation had which the device read; nobody where everybody gets it."""
    offers, _ = published("5%", "25%", "100%")
    offer = offers["cam-day"][NEW]
    assert [offer.share(generation, {}) for generation in (1, 2, 3, 4)] == [0, 50_000, 250_000, 0]
    assert Offer.of_json(offer.as_json()) == offer
    assert draw(offer, 2, {}, None, START) == Draw(2, 50_000, came=False, day="2026-01-01")
    assert draw(offer, 3, {}, 2, START) == Draw(3, 250_000, came=True, day="2026-01-01")
    assert draw(offer, 1, {}, None, START) is None


def test_what_comes_back_is_not_drawn() -> None:
    """Devices that it harmed before are missing: their absence would be held against it again."""
    offers, _ = published("5%", "0%", "5%")
    assert [offers["cam-day"][NEW].share(generation, {}) for generation in (2, 3, 4)] == [0, 0, 0]


def test_the_planner_holds_what_is_not_seen_in_its_share() -> None:
    """Of 2,000 devices heard since the offer of 25 %, 100 came: the verdict names the stratum and the counts."""
    old = make_release("1.0.0", {"canary": "100%", "fleet": "100%"}, classes=("cam-day",))
    new = make_release("1.1.0", {"canary": "25%", "fleet": "25%"}, classes=("cam-day",), supersedes="1.0.0")
    fleet = make_fleet(new, old, classes=("cam-day",))
    ready = World(signer=PUBLIC_KEY, prepared=frozenset({old.pins, new.pins}))
    documents = next(one for one in make_plan(fleet, ready, START).actions if isinstance(one, Publish)).documents
    tally: Counter[Cell] = Counter()
    for release, came, count in ((new.name, True, 100), (old.name, False, 1_900)):
        drawn = {new.name: Draw(1, 250_000, came, "2026-01-01")}
        standing = Standing(release, "cam-day", "os=12", 1, 1, left=False, phase="confirmed", draws=drawn)
        tally.update(dict.fromkeys(cells_of(standing, ()), count))
    world = World(
        signer=PUBLIC_KEY,
        prepared=frozenset({old.pins, new.pins}),
        published=Published(1, documents),
        observed=Observed(tally=tally),
    )
    for days, outcome in ((1, "no-worse"), (3, "cannot-tell")):
        verdict = next(one for one in make_plan(fleet, world, START + timedelta(days=days)).verdicts if one.stratum)
        assert (verdict.release, verdict.outcome) == (new.name, outcome)
    assert "in cam-day (os=12)" in verdict.reason
    assert "candidate: 100 of 2000 seen, offered 25 %" in verdict.reason
