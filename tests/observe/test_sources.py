"""Declared metric sources: which are opened, and which cannot tell from the start."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from source_conformance import CLASS, NEW, NORTH, SOUTH, TALLY, question

from muster.kinds.fleet import Fleet
from muster.kinds.policy import Policy
from muster.observe.prometheus_source import PrometheusSource
from muster.observe.sources import open_sources
from muster.plan.metric_source import CannotTell, CountsSource


def opened(variables: dict[str, str], **fields: str) -> dict[str | None, CountsSource]:
    tier = {"name": "research", "soak": "10m", "health": {"window": "10s", "pollInterval": "10s"}}
    spec = {"tiers": [tier], "metricSources": [{"name": "theirs", **fields}]}
    policy = Policy.model_validate({"metadata": {"name": "default"}, "spec": spec})
    return open_sources(Fleet.of([policy]), TALLY, variables, lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_the_built_in_source_is_always_there() -> None:
    """Under no name: guardrails that name none are judged by it."""
    assert opened({}, prometheus="http://127.0.0.1:9090")[None].strata(NEW, CLASS) == (NORTH, SOUTH)


@pytest.mark.parametrize("url", ["https://prometheus.example.org", "http://127.0.0.1:9090/base"])
def test_a_token_goes_to_its_server(url: str) -> None:
    """Over a way that nobody else can read."""
    source = opened({"TOKEN": "secret"}, prometheus=url, tokenVariable="TOKEN")["theirs"]
    assert isinstance(source, PrometheusSource)
    assert source.client.headers["Authorization"] == "Bearer secret"
    source.client.close()


@pytest.mark.parametrize(
    ("variables", "url"),
    [({}, "https://prometheus.example.org"), ({"TOKEN": "secret"}, "http://prometheus.example.org")],
)
def test_a_token_that_is_missing_or_would_be_shown(variables: dict[str, str], url: str) -> None:
    """No request is made; the source cannot tell, and says why without the secret."""
    source = opened(variables, prometheus=url, tokenVariable="TOKEN")["theirs"]
    told = source.counts(question("failure-share"))
    assert isinstance(told, CannotTell)
    assert told == source.strata(NEW, CLASS)
    assert "secret" not in told.reason + told.hint
