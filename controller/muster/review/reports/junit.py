"""JUnit XML as Jenkins reads it: a suite for each section, a case for each verdict. Without times: the same each run.

| what the verdict does          | in the case |
|--------------------------------|-------------|
| holds                          | nothing     |
| blocks, could not be measured  | `error`     |
| blocks otherwise               | `failure`   |
| warns, or is waived            | `skipped`   |
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from xml.etree import ElementTree as ET

from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.review.reports.neutral import identifier, xml_text
from muster.review.reports.words import TITLES, called, groups, label, place_of, standing, waiver_line


def junit_report(judgement: Judgement) -> str:
    """The document; without verdicts it has no suites."""
    root = ET.Element("testsuites", name="muster check")
    for section, found in groupby(groups(judgement), key=lambda group: group.section):
        verdicts = [verdict for group in found for verdict in group.verdicts]
        skipped = sum(_answer(verdict) == "skipped" for verdict in verdicts)
        counts = _counts(verdicts) | {"skipped": str(skipped)}
        suite = ET.SubElement(root, "testsuite", {"name": xml_text(TITLES.get(section, section)), **counts})
        for verdict in verdicts:
            _case(suite, verdict)
    for name, count in _counts(judgement.verdicts).items():
        root.set(name, count)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _counts(verdicts: Iterable[Verdict]) -> dict[str, str]:
    answers = [_answer(verdict) for verdict in verdicts]
    return {
        "tests": str(len(answers)),
        "failures": str(answers.count("failure")),
        "errors": str(answers.count("error")),
    }


def _answer(verdict: Verdict) -> str | None:
    found = standing(verdict)
    if found == "blocks":
        return "error" if verdict.outcome == "error" else "failure"
    return None if found == "pass" else "skipped"


def _case(suite: ET.Element, verdict: Verdict) -> None:
    name = f"{verdict.subject}: {', '.join(called(verdict))}"
    case = ET.SubElement(
        suite, "testcase", name=identifier(name, 400), classname=identifier(f"muster.{verdict.rule.replace('/', '.')}")
    )
    answer = _answer(verdict)
    if answer is None:
        return
    told = ET.SubElement(case, answer)
    told.text = "\n".join(map(xml_text, _lines(verdict)))
    if answer != "skipped":
        told.set("type", verdict.outcome)
        told.set("message", xml_text(verdict.message))


def _lines(verdict: Verdict) -> list[str]:
    place, waiver = place_of(verdict), waiver_line(verdict)
    lines = [f"{label(verdict)}: {verdict.message}"]
    if verdict.measured or verdict.threshold:
        lines.append(f"measured: {verdict.measured or 'nothing'}; needed: {verdict.threshold or 'nothing'}")
    lines += [f"lifts at: {verdict.lifts_at}"] if verdict.lifts_at else []
    lines += [waiver] if waiver else []
    lines += [f"hint: {verdict.hint}"] if verdict.hint else []
    return lines + ([f"at: {place}"] if place else [])
