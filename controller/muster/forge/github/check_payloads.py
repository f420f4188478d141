"""Check runs in the form and within the sizes that GitHub takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from muster.forge.cut import cut_markdown, cut_text
from muster.forge.forge import Annotation, CheckRun

PER_REQUEST: Final = 50
MOST_ANNOTATIONS: Final = 1_000
"""For one run: more would take GitHub's patience, and nobody reads them."""
_TEXT = 65_535
_MESSAGE = 60_000
_TITLE = 255
_LARGEST_LINE = 2**31 - 1


def payloads(run: CheckRun, head: str) -> Iterator[dict[str, Any]]:
    """The body that creates the run, then those that add the annotations beyond the first 50."""
    shown = run.annotations[:MOST_ANNOTATIONS]
    batches = [shown[start : start + PER_REQUEST] for start in range(0, len(shown), PER_REQUEST)] or [()]
    for number, batch in enumerate(batches):
        output = {
            "title": cut_text(run.title or run.name, _TITLE),
            "summary": _summary(run),
            "annotations": [_annotation(note) for note in batch],
        }
        if number:
            yield {"output": output}
        else:
            yield {
                "name": cut_text(run.name, _TITLE),
                "head_sha": head,
                "status": "completed",
                "conclusion": run.conclusion,
                "output": output,
            }


def _summary(run: CheckRun) -> str:
    hidden = len(run.annotations) - MOST_ANNOTATIONS
    more = f"{hidden} more remarks are in the log of the run.\n\n" if hidden > 0 else ""
    return cut_markdown(more + run.summary, _TEXT)


def _annotation(note: Annotation) -> dict[str, Any]:
    line = min(max(1, note.line), _LARGEST_LINE)
    return {
        "path": note.path,
        "start_line": line,
        "end_line": line,
        "annotation_level": note.level,
        "message": cut_text(note.message or note.title or "see the check run", _MESSAGE),
        **({"title": cut_text(note.title, _TITLE)} if note.title else {}),
    }
