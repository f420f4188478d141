"""Reports: one judgement in the form that its reader wants. Pure functions, loaded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from muster.check.judgement import Judgement


def _text(judgement: Judgement) -> str:
    from muster.review.reports.text import text_report

    return text_report(judgement)


def _json(judgement: Judgement) -> str:
    from muster.review.reports.as_data import json_report

    return json_report(judgement)


def _yaml(judgement: Judgement) -> str:
    from muster.review.reports.as_data import yaml_report

    return yaml_report(judgement)


def _markdown(judgement: Judgement) -> str:
    from muster.review.reports.markdown import markdown_report

    return markdown_report(judgement)


def _github(judgement: Judgement) -> str:
    from muster.review.reports.github import github_report

    return github_report(judgement)


def _sarif(judgement: Judgement) -> str:
    from muster.review.reports.sarif import sarif_report

    return sarif_report(judgement)


def _junit(judgement: Judgement) -> str:
    from muster.review.reports.junit import junit_report

    return junit_report(judgement)


REPORTS: Final[Mapping[str, Callable[[Judgement], str]]] = {
    "text": _text,
    "json": _json,
    "yaml": _yaml,
    "markdown": _markdown,
    "github": _github,
    "sarif": _sarif,
    "junit": _junit,
}
"""Form → function. Each text ends with a newline."""
