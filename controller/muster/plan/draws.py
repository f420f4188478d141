"""Draws: of the devices that could see an offer, how many came to the release; for the sample-ratio check.

Devices that merely stand on either release say nothing about the ratio: some were never online since, some left, and
who was harmed is missing. What can be known honestly is a device's *first word* after it read a document with the
offer: its bucket decides which arm it is in, independently of when it is heard. So each device is drawn once, at that
word, with the share that its cohort had then, and whatever becomes of it afterwards changes nothing.

Only what is new to every device is drawn: the newest entry, from the generation at which it first came on offer, for
cohorts that all have a release below it to speak of, and salted by its own name. A release that comes back, or takes
the devices of another, finds some of them missing for what they met before.

A device that the offer reached may be silent until its download is over, and one that it did not reach speaks at once.
Devices outside are therefore counted fully only once `SETTLED` has passed; before, as many of them as speak least
against the release. Evidence only falls when devices are added to the arm that lacks them, so that it is at most that
of all devices drawn until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from muster.kinds.desired import DesiredDocument, Entry
from muster.kinds.phases import TIME_LIMITS
from muster.kinds.ppm import PPM
from muster.plan.statistics.sample_ratio import Part, Parts
from muster.plan.tallies import DRAWN, Draw, Tally

SETTLED: Final = timedelta(milliseconds=TIME_LIMITS["offered"].silent)
"""What silence a download may explain."""
_MOST_STEPS: Final = 32

Share = tuple[Mapping[str, str], int]
"""The labels that a cohort selects by, and its share in ppm; 0 where nobody is drawn."""


@dataclass(frozen=True)
class Offer:
    """`since`: the generation at which the release came on offer. `steps`: from which generation on which shares."""

    since: int
    steps: tuple[tuple[int, tuple[Share, ...]], ...] = ()

    def share(self, generation: int, labels: Mapping[str, str]) -> int:
        """The share that decides about a device which reads this generation, in ppm; 0: it is not drawn."""
        shares = next((shares for began, shares in reversed(self.steps) if began <= generation), ())
        return next((ppm for asked, ppm in shares if asked.items() <= labels.items()), 0)

    def as_json(self) -> dict[str, Any]:
        """For the storage."""
        return {"since": self.since, "steps": [[at, [[dict(on), ppm] for on, ppm in all_]] for at, all_ in self.steps]}

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Offer:
        """What `as_json` wrote."""
        return cls(said["since"], tuple((at, tuple((on, ppm) for on, ppm in all_)) for at, all_ in said["steps"]))


Offers = Mapping[str, Mapping[str, Offer]]
"""Device class → release → its offer."""


def offers_of(documents: Iterable[DesiredDocument], known: Offers) -> dict[str, dict[str, Offer]]:
    """The offers with these documents, which are published next or now."""
    found = {device_class: dict(offers) for device_class, offers in known.items()}
    for document in documents:
        offers = found.setdefault(document.device_class, {})
        entries = {entry.release: entry for entry in document.entries}
        for release, offer in offers.items():
            if release.startswith(f"{document.model}/") and (
                release not in entries or entries[release].since != offer.since
            ):
                # Remembered, so that it is not taken for new when it comes back.
                offers[release] = Offer(offer.since)
        for place, entry in enumerate(document.entries):
            shares = _shares(document, entry) if place == 0 else ()
            offer_before = offers.get(entry.release) or _first_offer(document, entry)
            offers[entry.release] = _stepped(offer_before, document.generation, shares)
    return found


def _first_offer(document: DesiredDocument, entry: Entry) -> Offer:
    new = entry.since == document.generation and entry.salt == entry.release
    return Offer(entry.since, ((document.generation, ()),) if new else ())


def _stepped(offer: Offer, generation: int, shares: tuple[Share, ...]) -> Offer:
    if not offer.steps or offer.steps[-1][1] == shares:
        return offer
    steps = [step for step in offer.steps if step[0] < generation]
    return Offer(offer.since, (*steps[1 - _MOST_STEPS :], (generation, shares)))


def _shares(document: DesiredDocument, entry: Entry) -> tuple[Share, ...]:
    below = document.entries[1:]

    def share(cohort: str) -> int:
        ppm = entry.ppm.get(cohort, 0)
        return ppm if 0 < ppm < PPM and any(one.ppm.get(cohort) == PPM for one in below) else 0

    return tuple((cohort.selector.match_labels, share(cohort.name)) for cohort in document.cohorts)


def draw(offer: Offer, heard: int, labels: Mapping[str, str], spoke_at: int | None, at: datetime) -> Draw | None:
    """The draw of a device that read generation `heard` and spoke of the release at `spoke_at` (None: never)."""
    ppm = offer.share(heard, labels)
    if not ppm:
        return None
    return Draw(heard, ppm, spoke_at is not None and spoke_at >= offer.since, at.date().isoformat())


Samples = Mapping[tuple[str, str], Mapping[str, tuple[Parts, ...]]]
"""(release, device class) → stratum → one sample for each share that was on offer."""


def samples(tally: Tally, since: Mapping[tuple[str, str], int], now: datetime) -> Samples:
    """What was drawn for each release since it came on offer."""
    settled = (now - SETTLED).date()
    counts: dict[tuple[str, str], dict[str, dict[int, list[int]]]] = {}
    for cell, count in tally.items():
        place = (cell.release, cell.device_class)
        if cell.what != DRAWN or cell.generation < since.get(place, 0):
            continue
        drawn = Draw.of_bucket(cell.generation, cell.bucket)
        found = counts.setdefault(place, {}).setdefault(cell.stratum, {}).setdefault(drawn.ppm, [0, 0, 0])
        which = 0 if drawn.came else 1 if date.fromisoformat(drawn.day) < settled else 2
        found[which] += count
    return {
        place: {stratum: tuple(_parts(shares)) for stratum, shares in strata.items()}
        for place, strata in counts.items()
    }


def _parts(shares: Mapping[int, Sequence[int]]) -> Iterable[Parts]:
    for ppm, (came, settled, recent) in sorted(shares.items()):
        least = round(came * (PPM - ppm) / ppm)
        outside = max(settled, min(settled + recent, least))
        yield Part("candidate", came, ppm), Part("control", outside, PPM - ppm)
