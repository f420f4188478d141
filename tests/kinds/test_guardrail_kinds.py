"""Guardrails as they are declared: what the table says of each, and what means nothing."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from muster.check.guardrail_problems import guardrail_problems
from muster.check.weakening.guardrails import looser_guardrail
from muster.kinds.guardrails import GUARDRAIL_KINDS, Guardrail, GuardrailMetric, NumericKey, kind_of
from muster.kinds.policy import Policy
from muster.kinds.telemetry import Report

POLICY = Policy.model_validate(
    {
        "metadata": {"name": "default"},
        "spec": {
            "tiers": [{"name": "research", "soak": "10m", "health": {"window": "10s", "pollInterval": "10s"}}],
            "numericKeys": [{"name": "queue-depth", "scale": "amount"}],
            "metricSources": [{"name": "theirs", "prometheus": "http://127.0.0.1:9090"}],
        },
    }
)


def guardrail(**fields: Any) -> Guardrail:
    return Guardrail.model_validate_json(json.dumps({"name": "g", **fields}))


def test_every_metric_is_in_the_table_and_reads_what_a_report_has() -> None:
    """A metric without a row could not be judged; a field that no report has would be missing for ever."""
    assert set(get_args(GuardrailMetric)) == set(GUARDRAIL_KINDS)
    read = {field for kind in GUARDRAIL_KINDS.values() for field in kind.reads}
    assert read <= set(Report.model_fields)


def test_old_yaml_keeps_its_meaning() -> None:
    """A limit in percent, a number of devices: harm halts, without a control."""
    old = guardrail(metric="failure-share", limit="0.25%", minDevices=2)
    assert (old.limit_ppm, old.min_devices, old.margin, old.severity) == (2_500, 2, None, "halt")
    assert Guardrail(name="g", metric="failure-share", limit=2_500, min_devices=2) == old
    assert Guardrail.model_validate_json(old.model_dump_json()) == old


def test_a_declared_number_is_what_its_key_says() -> None:
    """A share is judged by its mean, an amount by a quantile; and either may be better the more it is."""
    idle = NumericKey(name="idle", scale="share", worse="less")
    found = kind_of(guardrail(metric="value", key="idle", limit="0.5"), [idle, *POLICY.spec.numeric_keys])
    assert (found.shape, found.worse) == ("mean", "less")
    assert kind_of(guardrail(metric="load-time", limit="1s"), [idle]) == GUARDRAIL_KINDS["load-time"]


def test_limits_are_of_their_metrics_dimension() -> None:
    """Only a share is in parts per million; the median is judged unless another quantile is said."""
    assert guardrail(metric="p95-latency", limit="40ms").limit_ppm is None
    assert guardrail(metric="p95-latency", limit="40ms").quantile_ppm == 500_000
    assert guardrail(metric="confidence", limit="0.6").quantile_ppm is None
    assert guardrail(metric="value", key="queue-depth", limit="12").reading == "value/queue-depth"


GOOD: list[dict[str, Any]] = [
    {"metric": "failure-share", "limit": "5%"},
    {"metric": "failure-share", "margin": "0.5%"},
    {"metric": "error-share", "errorCode": "load_failed", "limit": "0%"},
    {"metric": "p95-latency", "limit": "40ms", "margin": "10%", "quantile": "95%"},
    {"metric": "peak-ram", "limit": "64MiB"},
    {"metric": "confidence", "limit": "0.6", "quantile": "10%"},
    {"metric": "value", "key": "queue-depth", "limit": "12", "source": "theirs"},
]
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "neither limit nor margin": ({"metric": "failure-share"}, "name"),
    "a share as a time": ({"metric": "failure-share", "limit": "5ms"}, "limit"),
    "a time as a share": ({"metric": "p95-latency", "limit": "5%"}, "limit"),
    "what nobody can exceed": ({"metric": "failure-share", "limit": "100%"}, "limit"),
    "what nobody can stay below": ({"metric": "confidence", "limit": "0%"}, "limit"),
    "a quantile of yes and no": ({"metric": "crash-share", "limit": "1%", "quantile": "50%"}, "quantile"),
    "a quantile without an end": ({"metric": "load-time", "limit": "1s", "quantile": "100%"}, "quantile"),
    "a floor without a margin": ({"metric": "failure-share", "limit": "5%", "floor": "1%"}, "floor"),
    "a floor of an amount": ({"metric": "load-time", "margin": "5%", "floor": "1%"}, "floor"),
    "no margin at all": ({"metric": "load-time", "margin": "0%"}, "margin"),
    "a code of another metric": ({"metric": "crash-share", "limit": "1%", "errorCode": "load_failed"}, "errorCode"),
    "a value without its key": ({"metric": "value", "limit": "1"}, "metric"),
    "a key that is not declared": ({"metric": "value", "limit": "1", "key": "depth"}, "key"),
    "a key of another metric": ({"metric": "load-time", "limit": "1s", "key": "queue-depth"}, "key"),
    "a source that is not declared": ({"metric": "load-time", "limit": "1s", "source": "mine"}, "source"),
}


@pytest.mark.parametrize("fields", GOOD, ids=lambda fields: fields["metric"])
def test_what_means_something(fields: dict[str, Any]) -> None:
    """No complaint."""
    assert list(guardrail_problems(guardrail(**fields), POLICY)) == []


@pytest.mark.parametrize("name", BAD)
def test_what_means_nothing(name: str) -> None:
    """One complaint, at the field that is to be changed."""
    fields, place = BAD[name]
    assert [problem[0] for problem in guardrail_problems(guardrail(**fields), POLICY)] == [place]


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ({"limit": "40ms"}, {"limit": "0.05s"}, ["limit"]),
        ({"limit": "40ms"}, {"limit": "40000us"}, []),
        ({"limit": "40ms", "margin": "5%"}, {"limit": "40ms"}, ["margin"]),
        ({"limit": "40ms", "margin": "5%"}, {"limit": "40ms", "margin": "6%"}, ["margin"]),
        ({"limit": "40ms"}, {"limit": "40ms", "quantile": "25%"}, ["quantile"]),
        ({"limit": "40ms"}, {"limit": "40ms", "quantile": "99%"}, []),
        ({"limit": "40ms"}, {"limit": "40ms", "source": "theirs"}, ["source"]),
        ({"margin": "5%"}, {"margin": "5%", "floor": "1%"}, ["floor"]),
    ],
)
def test_what_stops_later_is_looser(old: dict[str, Any], new: dict[str, Any], fields: list[str]) -> None:
    """By what passes, not by how it is written."""
    before, after = (guardrail(metric="p95-latency", **values) for values in (old, new))
    assert [lost.field for lost in looser_guardrail(before, after)] == fields


def test_less_is_worse_turns_the_comparison() -> None:
    """A lower limit on confidence stops later, and so does a higher quantile."""
    before = guardrail(metric="confidence", limit="0.6", quantile="10%")
    after = guardrail(metric="confidence", limit="0.5", quantile="20%")
    assert [lost.field for lost in looser_guardrail(before, after)] == ["limit", "quantile"]


@pytest.mark.parametrize("url", ["ftp://a", "http://user@host", "http://a/b?c", "http://a b"])
def test_a_source_is_a_plain_address(url: str) -> None:
    """No user, no query, no other scheme."""
    with pytest.raises(ValidationError):
        Policy.model_validate(
            POLICY.model_dump(by_alias=True, mode="json")
            | {"spec": {"tiers": [], "metricSources": [{"name": "a", "prometheus": url}]}}
        )
