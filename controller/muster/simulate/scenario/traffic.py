"""Requests and bytes at the server: what devices ask for because of their habits, and because of a rollout.

Every device that is on line polls once an interval, which is one request for the timestamp. Whoever sees an offer asks
for four files more (snapshot, targets, document, signature) and for the artifact; every change of phase is one report.
Bytes are those of documents and artifacts: no headers, no TUF metadata.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from muster.kinds.canonical import canonical_json
from muster.kinds.desired import DesiredDocument
from muster.simulate.scenario.contact import Span
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.population import CHUNK
from muster.simulate.scenario.trials import Moment

FILES_OF_AN_OFFER: Final = 4
REPORTS_OF_AN_OFFER: Final = 3
"""offered, downloaded and verified, loaded: told while it goes on; activated and later ones are counted one by one."""
_TOLD = (Moment.TRIED, Moment.CONFIRMED, Moment.ROLLED_BACK, Moment.GAVE_UP, Moment.CRASHED, Moment.LEFT)


def online_by_tick(place: Field) -> npt.NDArray[np.float64]:
    """How many devices are on line in each tick (in its middle)."""
    found = np.zeros(place.ticks)
    middles = (np.arange(place.ticks) * place.tick + place.tick // 2).astype(np.int64)
    devices = place.devices
    for habit in range(len(devices.lengths)):
        period, length = int(devices.periods[habit]), int(devices.lengths[habit])
        starts = devices.start[devices.habit == habit]
        if length == 0 or not len(starts):
            continue
        counts = np.bincount(starts % period, minlength=period)
        before = np.concatenate(([0], np.cumsum(counts)))
        end = middles % period
        begin = end - length
        # Windows that began in (end - length, end], around the end of the period.
        wrapped = np.where(begin < -1, before[period] - before[np.clip(begin + 1 + period, 0, period)], 0)
        found += before[end + 1] - before[np.maximum(begin + 1, 0)] + wrapped
    return found


def traffic(place: Field, document: DesiredDocument) -> tuple[float, float, float]:
    """Mean and highest requests per second (over a tick; after an outage, over a second), and gigabytes."""
    polls = online_by_tick(place) / place.poll_interval
    asked = np.zeros(place.ticks)
    weights = {Moment.SEEN: 1 + FILES_OF_AN_OFFER + REPORTS_OF_AN_OFFER} | dict.fromkeys(_TOLD, 1)
    for one in place.offered:
        for moment, weight in weights.items():
            at = one.batch.moments[:, moment] // place.tick
            asked += weight * np.bincount(at[at < place.ticks], minlength=place.ticks)
    rates = polls + asked / place.tick
    peak = max([float(rates.max()), *(herd(place, span) for span in place.contact.away)])
    offers = sum(len(place.moments(number, Moment.SEEN)) for number in range(1, len(place.spec.releases)))
    artifacts = sum(one.batch.downloads for one in place.offered) * place.spec.artifact_size
    documents = offers * len(canonical_json(document.model_dump(mode="json")))
    return float(rates.mean()), peak, (artifacts + documents) / 1e9


def herd(place: Field, span: Span) -> float:
    """Most polls in one second after an outage: everybody who was turned away comes back by the rule of the agent."""
    counts = np.zeros(0, np.int64)
    for begin in range(0, place.devices.count, CHUNK):
        indices = np.arange(begin, min(begin + CHUNK, place.devices.count))
        back = place.contact.poll(indices, np.full(len(indices), span.begin, np.int64))
        within = back[(back >= span.end) & (back < span.end + 7_200)] - span.end
        found = np.bincount(within, minlength=7_200)
        counts = found if not len(counts) else counts + found
    return float(counts.max(initial=0))
