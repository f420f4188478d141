"""The metric sources that a fleet declares, opened: the built-in one under None, the others under their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from muster.kinds.fleet import Fleet
from muster.kinds.guardrails import MetricSource
from muster.observe.prometheus_source import open_prometheus
from muster.plan.metric_source import CannotTell, CountsSource, Question, TallySource
from muster.plan.tallies import Tally

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class UnopenedSource:
    """A source that cannot be asked, and why. Satisfies `CountsSource`."""

    why: CannotTell

    def strata(self, _release: str, _device_class: str) -> CannotTell:
        """Why not."""
        return self.why

    def counts(self, _question: Question) -> CannotTell:
        """Why not."""
        return self.why


def open_sources(
    fleet: Fleet, tally: Tally, variables: Mapping[str, str], now: Callable[[], datetime]
) -> dict[str | None, CountsSource]:
    """Every source by its name. `variables` is the environment, in which tokens stand."""
    declared = [source for policy in fleet.policies for source in policy.spec.metric_sources]
    return {None: TallySource(tally), **{source.name: _open(source, variables, now) for source in declared}}


def _open(source: MetricSource, variables: Mapping[str, str], now: Callable[[], datetime]) -> CountsSource:
    variable = source.token_variable
    token = variables.get(variable) if variable else None
    url = urlsplit(source.prometheus)
    if variable and not token:
        return _unopened(source, f"{variable} is not set", f"set {variable} where the controller runs")
    if token and url.scheme != "https" and url.hostname not in _LOOPBACK:
        return _unopened(source, "its token would be shown to everyone on the way", "write https://")
    return open_prometheus(source.name, source.prometheus, token, now)


def _unopened(source: MetricSource, reason: str, hint: str) -> UnopenedSource:
    return UnopenedSource(CannotTell(source.name, f"Prometheus {source.name}: {reason}", hint))
