"""What a change does to the fleet: for every model, class and cohort, what runs now, what would, and how many move.

Devices choose by buckets that are uniform and, for two releases with different salts, independent. So the share that
moves is exact, without a single device being known: of the releases from newest to oldest, a device takes the first
whose percentage its bucket lies under.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from muster.check.change import Change, tier_rank
from muster.check.judgement import Direction, Row
from muster.kinds.cohort import Cohort
from muster.kinds.digest import version_key
from muster.kinds.field_state import FieldState
from muster.kinds.fleet import Fleet
from muster.kinds.policy import TierName
from muster.kinds.quantity import PPM
from muster.kinds.release import Release

MOST_ROWS = 2_000
_FOLLOWED = 32


@dataclass(frozen=True)
class Offer:
    """One release in one cohort: who takes it is settled by salt and share."""

    release: Release
    ppm: int


@dataclass(frozen=True)
class Moved:
    """Shares (0 to 1) of a cohort's devices that change what they run, and in which way."""

    forward: Fraction
    back: Fraction
    new: Fraction
    leaves: Fraction
    download: Fraction
    """Bytes for one device of the cohort, on average."""

    @property
    def total(self) -> Fraction:
        """All that move."""
        return self.forward + self.back + self.new + self.leaves

    @property
    def download_each(self) -> Fraction:
        """Bytes for one device of those that move and download, on average."""
        loading = self.forward + self.new
        return self.download / loading if loading else Fraction(0)

    @property
    def direction(self) -> Direction:
        """The way of the largest share."""
        shares: tuple[tuple[Fraction, Direction], ...] = (
            (self.forward, "forward"),
            (self.back, "back"),
            (self.new, "new"),
            (self.leaves, "leaves"),
        )
        largest = max(shares, key=lambda pair: pair[0])
        return largest[1] if largest[0] else "same"


def rows(change: Change, controller: FieldState | None) -> tuple[Row, ...]:
    """One row per model, device class and cohort that the change concerns, at most 2,000."""
    found: list[Row] = []
    for model in _models(change):
        for device_class in _classes(change, model):
            for row in _class_rows(change, model, device_class, controller):
                found.append(row)
                if len(found) == MOST_ROWS:
                    return tuple(found)
    return tuple(found)


def _models(change: Change) -> list[str]:
    """Models whose releases move; all of them if classes or cohorts change."""
    if any(item.what in ("device class", "cohort") for item in change.items):
        return sorted({*change.base.models, *change.head.models})
    releases = [move.release for move in change.moves] + list(change.added) + list(change.removed)
    return sorted({release.model for release in releases})


def _classes(change: Change, model: str) -> list[str]:
    listed = [
        found.metadata.name
        for fleet in (change.base, change.head)
        for found in fleet.device_classes
        if model in found.spec.models
    ]
    return list(dict.fromkeys(listed))


def _class_rows(change: Change, model: str, device_class: str, controller: FieldState | None) -> Iterator[Row]:
    base, head = change.base, change.head
    names = list(dict.fromkeys(cohort.metadata.name for fleet in (base, head) for cohort in fleet.cohorts))
    for cohort in names:
        now = offers(base, model, device_class, heir(base, head, cohort))
        then = offers(head, model, device_class, heir(head, base, cohort))
        if not now and not then:
            continue
        moved = movement(now, then)
        devices = controller.devices.get((device_class, cohort), 0) if controller else None
        share = moved.total
        count = None if devices is None else round(share * devices)
        yield Row(
            model=model,
            device_class=device_class,
            cohort=cohort,
            now=_shown(now),
            then=_shown(then),
            moved_ppm=round(share * PPM),
            devices=count,
            direction=moved.direction,
            download=round(moved.download * devices if devices is not None else moved.download_each),
            tier=_tier(now, then),
        )


def heir(fleet: Fleet, other: Fleet, name: str) -> str:
    """The cohort of `fleet` that the devices of cohort `name` belong to.

    A cohort that only the other side declares: its devices belong to the first cohort here that is sure to match them.
    """
    if any(cohort.metadata.name == name for cohort in fleet.cohorts):
        return name
    gone = next(cohort for cohort in other.cohorts if cohort.metadata.name == name)
    return next((cohort.metadata.name for cohort in fleet.cohorts if _surely_matches(cohort, gone)), name)


def _surely_matches(cohort: Cohort, gone: Cohort) -> bool:
    labels = gone.spec.selector.match_labels
    return all(labels.get(key) == value for key, value in cohort.spec.selector.match_labels.items())


def offers(fleet: Fleet, model: str, device_class: str, cohort: str) -> tuple[Offer, ...]:
    """What is on offer, newest first, down to the first release that every device takes."""
    found: list[Offer] = []
    for release in fleet.releases_of(model, device_class):
        ppm = release.spec.rollout.cohorts.get(cohort, 0)
        if ppm:
            found.append(Offer(release, ppm))
        if ppm == PPM:
            break
    return tuple(found)


def movement(now: tuple[Offer, ...], then: tuple[Offer, ...]) -> Moved:
    """How the devices of one cohort move between two offers.

    Each pair (runs now, would run) has a share; a pair of two different artifacts is a move. Going back needs no
    download: a device keeps the release it came from in its confirmed slot.
    """
    forward = back = new = leaves = download = Fraction(0)
    known = {offer.release.name: offer.release for offer in (*now, *then)}
    for (runs, would_run), share in _pairs(now, then).items():
        old, fresh = known.get(runs or ""), known.get(would_run or "")
        if runs == would_run or (old and fresh and old.spec.artifact.digest == fresh.spec.artifact.digest):
            continue
        if fresh is None:
            leaves += share
        elif old is None:
            new += share
            download += share * fresh.spec.artifact.size
        elif version_key(fresh.version) > version_key(old.version):
            forward += share
            download += share * fresh.spec.artifact.size
        else:
            back += share
    return Moved(forward, back, new, leaves, download)


_Pair = tuple[str | None, str | None]
"""Names of the releases that a device runs now and would run."""


@dataclass(frozen=True)
class _State:
    """A share of the devices of whom the same is known: what they take, and between what their buckets lie.

    `now` and `then` are the offers still to be asked about; empty once a side is settled.
    """

    share: Fraction
    now: tuple[Offer, ...]
    then: tuple[Offer, ...]
    takes_now: str | None
    takes_then: str | None
    buckets: Mapping[str, tuple[int, int]]


def _pairs(now: tuple[Offer, ...], then: tuple[Offer, ...]) -> dict[_Pair, Fraction]:
    """Share of devices per (runs now, would run). Follows 32 offers a side; who takes none of these leaves."""
    settled: dict[_Pair, Fraction] = {}
    open_states = [_State(Fraction(1), now[:_FOLLOWED], then[:_FOLLOWED], None, None, {})]
    while open_states:
        state = open_states.pop()
        if state.now or state.then:
            open_states += _ask(state)
        else:
            pair = (state.takes_now, state.takes_then)
            settled[pair] = settled.get(pair, Fraction(0)) + state.share
    return settled


def _ask(state: _State) -> Iterator[_State]:
    """Part the devices by whether they take the next offer of one side: those who do, and those who go on."""
    of_now = bool(state.now)
    offer = state.now[0] if of_now else state.then[0]
    low, high = state.buckets.get(offer.release.salt, (0, PPM))
    cut = min(max(offer.ppm, low), high)
    for taken, start, end in ((True, low, cut), (False, cut, high)):
        if start == end:
            continue
        buckets = {**state.buckets, offer.release.salt: (start, end)}
        share = state.share * Fraction(end - start, high - low)
        if of_now:
            rest = () if taken else state.now[1:]
            yield _State(share, rest, state.then, offer.release.name if taken else None, state.takes_then, buckets)
        else:
            rest = () if taken else state.then[1:]
            yield _State(share, (), rest, state.takes_now, offer.release.name if taken else None, buckets)


def _shown(found: tuple[Offer, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((offer.release.name, offer.ppm) for offer in found)


def _tier(now: tuple[Offer, ...], then: tuple[Offer, ...]) -> TierName:
    """The highest tier of what is on offer: what is at stake for these devices."""
    return max((offer.release.spec.tier for offer in (*now, *then)), key=tier_rank)
