"""Workflow commands: what GitHub shows beside the lines of a change. One line each, the total first.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions tells how values are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.review.reports.neutral import annotation_message, annotation_property, identifier
from muster.review.reports.words import Standing, by_weight, called, headline, place_of, standing, waiver_line

_COMMANDS: Final[Mapping[Standing, str]] = {"blocks": "error", "warns": "warning", "waived": "notice"}


def github_report(judgement: Judgement) -> str:
    """A command for the total, for each note, and for each verdict that does not hold."""
    return "".join(f"{line}\n" for line in _lines(judgement))


def _lines(judgement: Judgement) -> Iterator[str]:
    total = "error" if judgement.outcome == "blocked" else "notice"
    yield _command(total, {"title": "Muster"}, headline(judgement))
    for note in judgement.notes:
        yield _command("notice", {"title": "Muster"}, note)
    for verdict in by_weight(judgement.verdicts):
        command = _COMMANDS.get(standing(verdict))
        if command is not None:
            yield _command(command, _properties(verdict), *_message(verdict))


def _properties(verdict: Verdict) -> dict[str, str]:
    place = place_of(verdict)
    found = {"file": place.file} if place else {}
    if place and place.line:
        found |= {"line": str(place.line)} | ({"col": str(place.column)} if place.column else {})
    return found | {"title": f"{verdict.section}: {', '.join(called(verdict))}"}


def _message(verdict: Verdict) -> Iterator[str]:
    yield f"{verdict.outcome}: {identifier(verdict.subject)}: {verdict.message}"
    if verdict.measured or verdict.threshold:
        yield f"measured: {verdict.measured or 'nothing'}; needed: {verdict.threshold or 'nothing'}"
    if verdict.lifts_at:
        yield f"lifts at: {verdict.lifts_at}"
    if verdict.waived is not None:
        yield waiver_line(verdict) or ""
    if verdict.hint:
        yield f"hint: {verdict.hint}"


def _command(name: str, properties: Mapping[str, str], *lines: str) -> str:
    given = ",".join(f"{key}={annotation_property(value)}" for key, value in properties.items())
    return f"::{name} {given}::{'%0A'.join(map(annotation_message, lines))}"
