"""The report: worked numbers, and the same content as text, Markdown and JSON."""

from __future__ import annotations

import json

import pytest

from meter_example import LOCK, ROOT, changed, filled_store, release
from muster.build.declarations import read_device_classes
from muster.build.pipeline import BuildResult, build_release
from muster.build.report import Surroundings, build_report, predicted_microseconds
from muster.build.report_text import report_markdown, report_text
from muster.build.shapes import Cost
from muster.kinds.device_class import Rates
from muster.kinds.digest import digest_of
from muster.kinds.release import Artifact


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    return build_release(release(), filled_store(tmp_path_factory.mktemp("store")), LOCK)


@pytest.mark.parametrize(
    ("operations", "size", "expected"),
    [(2_000_000, 3_000_000, 3_060), (8_000_000, 3_000_000, 4_060), (1, 1, 61), (0, 0, 60)],
)
def test_predicted_latency_by_hand(operations: int, size: int, expected: int) -> None:
    """The larger of the two terms, each rounded up to a microsecond, and the overhead."""
    rates = Rates.model_validate({"multiplyAccumulates": "2G/s", "memory": "1G/s", "overhead": "60us"})
    assert expected == predicted_microseconds(Cost({}, 0, operations, size), rates)


def test_the_report_holds_what_was_built(built: BuildResult) -> None:
    """Sizes against source and superseded release, accuracy of both models, latency of every class, as plain JSON."""
    older = Artifact(digest=digest_of(b"older"), size=built.artifact.size * 2)
    report = build_report(release(), built, Surroundings(read_device_classes(ROOT), ("meter-reader/1.0.0", older)))
    assert report == json.loads(json.dumps(report))
    assert (report["identical"], report["reason"]) == (True, None)
    assert {"release": "meter-reader/1.0.0", "bytes": older.size, "change": "-50.0%"} == report["size"]["superseded"]
    assert release().spec.source.size == report["size"]["source"]
    assert report["accuracy"]["artifact"]["right"] >= 0.94 * report["accuracy"]["artifact"]["frames"]
    assert [item["deviceClass"] for item in report["latency"]["classes"]] == ["cam-day", "cam-edge", "cam-lowlight"]
    for entry in report["latency"]["classes"]:
        assert 0 < entry["artifactMicroseconds"] <= entry["sourceMicroseconds"] < entry["budgetMicroseconds"]
    assert report["operators"]["artifact"]["QuantizeLinear"] > 0


def test_every_number_is_in_text_and_markdown(built: BuildResult) -> None:
    """Digests, shares and the formula are readable in both; a class that nobody declared is called that."""
    report = build_report(release(), built, Surroundings({}))
    for shown in (report_text(report), report_markdown(report)):
        assert built.artifact.digest in shown
        assert report["latency"]["formula"] in shown
        assert report["accuracy"]["source"]["share"] in shown
        assert "class not declared" in shown
    table = [line for line in report_markdown(report).splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in table)


def test_a_difference_is_the_headline(built: BuildResult) -> None:
    """Which output, what was pinned, what was found."""
    from dataclasses import replace

    declared = changed(release(), calibration_table=digest_of(b""))
    report = build_report(declared, replace(built, difference="calibration_table"), Surroundings({}))
    assert "the first difference is calibration_table" in report["reason"]
    assert digest_of(b"") in report["reason"]
    assert report["reason"] == report_text(report).splitlines()[0]
