"""Counts out of Prometheus: the second metric source.

Prometheus holds what our own /metrics page shows, or what somebody else's exporter or recording rule makes of their
telemetry, in the same shape:

    muster_tally_devices{release, device_class, stratum, entered, generation, left, what, bucket}
        devices in a cell (plan/tallies.Cell); numbers as decimals, `left` as 0 or 1
    muster_tally_timestamp_seconds
        when they were counted

Queries are ours: guardrails name readings, never PromQL. Whatever is late, cut short or not of that shape is an answer
that is missing, and a missing answer is never a good one.

Format: https://prometheus.io/docs/prometheus/latest/querying/api/ (instant queries).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from muster.plan.metric_source import CannotTell, Counts, Question, TallySource
from muster.plan.tallies import CODE, PHASE, Cell

if TYPE_CHECKING:
    import httpx

TALLY: Final = "muster_tally_devices"
COUNTED_AT: Final = "muster_tally_timestamp_seconds"
LABELS: Final = Cell._fields

ANSWER_LIMIT = 32 * 2**20
"""Bytes of one answer."""
MOST_CELLS = 200_000
SECONDS = 10.0
"""For one answer, from the first byte asked to the last one read."""
MOST_DEVICES = 10**12


class _NoAnswer(Exception):
    """Why there is none, in words."""


@dataclass(frozen=True)
class PrometheusSource:
    """Satisfies `CountsSource`. `patience` in seconds: counts that are older cannot tell what is the case now.

    `now` gives the time that is asked about. `client` has the server's address as its base, and its credentials.
    """

    name: str
    client: httpx.Client
    now: Callable[[], datetime]
    patience: float = 300.0

    def strata(self, release: str, device_class: str) -> tuple[str, ...] | CannotTell:
        """Strata in which some device spoke of the release."""
        asked = {"release": release, "device_class": device_class, "what": PHASE}
        found = self._cells([asked])
        return found if isinstance(found, CannotTell) else TallySource(found).strata(release, device_class)

    def counts(self, question: Question) -> Counts | CannotTell:
        """Both arms."""
        where = {"device_class": question.device_class, "stratum": question.stratum}
        whats = dict.fromkeys((PHASE, CODE, question.reading))
        releases = dict.fromkeys((question.release, *question.control))
        found = self._cells({**where, "release": release, "what": what} for release in releases for what in whats)
        return found if isinstance(found, CannotTell) else TallySource(found).counts(question)

    def _cells(self, selections: Iterable[Mapping[str, str]]) -> dict[Cell, int] | CannotTell:
        try:
            self._must_be_fresh()
            return self._selected(selections)
        except _NoAnswer as error:
            hint = "look at the server, and at what it scrapes; until it answers, the rollout is held"
            return CannotTell(self.name, f"Prometheus {self.name}: {error}", hint)

    def _selected(self, selections: Iterable[Mapping[str, str]]) -> dict[Cell, int]:
        cells: dict[Cell, int] = {}
        for selection in selections:
            cells |= dict(self._cell(sample) for sample in self._query(_selector(TALLY, selection)))
            if len(cells) > MOST_CELLS:
                raise _NoAnswer(f"more than {MOST_CELLS:,} series")
        return cells

    def _must_be_fresh(self) -> None:
        """Series that are absent mean nobody is there only if somebody counted."""
        samples = self._query(f"max({COUNTED_AT})")
        if len(samples) != 1:
            raise _NoAnswer(f"it has no {COUNTED_AT}: nobody told it any counts")
        age = self.now().timestamp() - _number(samples[0])
        if not -self.patience <= age <= self.patience:
            raise _NoAnswer(f"its counts are {age:.0f} s old, more than {self.patience:.0f} s")

    def _query(self, query: str) -> list[dict[str, Any]]:
        """Samples of an instant query. Raises `_NoAnswer`."""
        answer = self._post({"query": query, "time": f"{self.now().timestamp():.3f}", "timeout": f"{SECONDS:.0f}s"})
        data = answer.get("data")
        if answer.get("status") != "success" or not isinstance(data, dict) or data.get("resultType") != "vector":
            raise _NoAnswer(f"it refuses the query: {str(answer.get('error', 'no reason given'))[:200]}")
        if answer.get("warnings"):
            raise _NoAnswer("its answer may not be whole: it warns")
        result = data.get("result")
        if not isinstance(result, list) or not all(isinstance(sample, dict) for sample in result):
            raise _NoAnswer("its answer is no vector of samples")
        return result

    def _post(self, form: Mapping[str, str]) -> dict[str, Any]:
        import httpx

        began = time.monotonic()
        try:
            with self.client.stream("POST", "api/v1/query", data=dict(form), timeout=SECONDS) as response:
                body = bytearray()
                for part in response.iter_raw():
                    body += part
                    if len(body) > ANSWER_LIMIT:
                        raise _NoAnswer(f"its answer is longer than {ANSWER_LIMIT:,} bytes")
                    if time.monotonic() - began > SECONDS:
                        raise _NoAnswer(f"its answer takes longer than {SECONDS:.0f} s")
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _NoAnswer(f"it does not answer: {type(error).__name__}") from error
        # A refused query comes as 400 or 422 with a reason in JSON; everything else that is no 200 says nothing.
        if status not in (200, 400, 422, 503):
            raise _NoAnswer(f"it answers {status}")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _NoAnswer(f"it answers {status}, and no JSON") from error
        if not isinstance(answer, dict):
            raise _NoAnswer("its answer is no object")
        return answer

    def _cell(self, sample: Mapping[str, Any]) -> tuple[Cell, int]:
        metric, count = sample.get("metric"), _number(sample)
        if not isinstance(metric, dict) or not all(isinstance(metric.get(name, ""), str) for name in LABELS):
            raise _NoAnswer("a sample has no labels that can be read")
        if count != int(count) or not 0 <= count <= MOST_DEVICES:
            raise _NoAnswer(f"{count} is no number of devices")
        said = {name: str(metric.get(name, "")) for name in LABELS}
        try:
            entered, generation = int(said["entered"]), int(said["generation"])
            left = {"0": False, "1": True}[said["left"]]
            if said["what"] not in (PHASE, CODE) and said["bucket"] != "missing":
                int(said["bucket"])
        except (ValueError, KeyError) as error:
            raise _NoAnswer("a sample's labels are not those of a cell") from error
        where = (said["release"], said["device_class"], said["stratum"])
        return Cell(*where, entered, generation, left, said["what"], said["bucket"]), int(count)


def open_prometheus(name: str, url: str, token: str | None, now: Callable[[], datetime]) -> PrometheusSource:
    """A source at this address. No redirects: the token is for this server only."""
    import httpx

    # Nothing compressed: a small body must not become a large one.
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    client = httpx.Client(base_url=f"{url.rstrip('/')}/", headers=headers, follow_redirects=False, trust_env=False)
    return PrometheusSource(name, client, now)


def _number(sample: Mapping[str, Any]) -> float:
    value = sample.get("value")
    try:
        number = float(value[1]) if isinstance(value, list) and len(value) == 2 else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _NoAnswer("a sample is no number")
    return number


def _selector(metric: str, labels: Mapping[str, str]) -> str:
    """Label values as PromQL strings: JSON's escapes are a subset of Go's, but for the slash, which stays as it is."""
    return metric + "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"
