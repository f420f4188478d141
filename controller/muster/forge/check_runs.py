"""From a judgement to check runs: one for each gate, one for each other section, and the total, which comes last.

Messages quote names and texts of the pull request. They stand in a fence longer than any run of backticks in them,
where Markdown, mentions and HTML have no effect; control characters and bidi marks are shown escaped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.forge.forge import Annotation, CheckRun, Conclusion, Level
from muster.kinds.errors import MusterError
from muster.source.git_program import printable
from muster.source.layout import leaves_the_tree

TOTAL: Final = "muster"
_SHOWN = 500
_MOST_GATES = 200


def check_runs(judgement: Judgement) -> tuple[CheckRun, ...]:
    """The runs to post; gates by their names, other verdicts by their sections."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in judgement.verdicts:
        groups.setdefault(_group(verdict, groups), []).append(verdict)
    return (*(_run(name, groups[name]) for name in sorted(groups)), _total(judgement))


def unjudged(error: MusterError) -> CheckRun:
    """The total where no judgement came about: without it, that of an earlier run would go on to stand at the head."""
    lines = [printable(error.message), *([printable(error.hint)] if error.hint else [])]
    return CheckRun(TOTAL, "failure", "could not be judged", _fenced((), lines))


def _group(verdict: Verdict, groups: dict[str, list[Verdict]]) -> str:
    if verdict.section != "gate" or verdict.gate is None:
        return f"{TOTAL} / {verdict.section}"
    name = f"{TOTAL} / gate / {verdict.gate}"
    return name if name in groups or len(groups) < _MOST_GATES else f"{TOTAL} / gate"


def _run(name: str, verdicts: Sequence[Verdict]) -> CheckRun:
    ordered = sorted(verdicts, key=lambda verdict: (not verdict.blocks, not verdict.warns))
    return CheckRun(
        name,
        _conclusion(verdicts),
        _counts(verdicts),
        _fenced(ordered),
        tuple(note for verdict in ordered if (note := _annotation(verdict)) is not None),
    )


def _total(judgement: Judgement) -> CheckRun:
    outcome = {"pass": "passes", "blocked": "blocked", "no-change": "no change"}[judgement.outcome]
    title = f"{outcome}: {_counts(judgement.verdicts)}" if judgement.verdicts else outcome
    standing = [verdict for verdict in judgement.verdicts if verdict.blocks]
    missing = [needed for needed in judgement.approvals if not needed.complete]
    lines = [printable(note) for note in judgement.notes]
    lines += [
        f"needs {needed.count} of {', '.join(map(printable, needed.by)) or 'nobody'}: {printable(needed.what)}"
        for needed in missing
    ]
    summary = _fenced(standing, lines) if standing or lines else "Nothing stands in the way."
    return CheckRun(TOTAL, "failure" if judgement.exit_code else "success", title, summary)


def _conclusion(verdicts: Sequence[Verdict]) -> Conclusion:
    if any(verdict.blocks for verdict in verdicts):
        return "failure"
    return "neutral" if any(verdict.warns for verdict in verdicts) else "success"


def _counts(verdicts: Sequence[Verdict]) -> str:
    """Worst first, waived ones apart: "1 fail, 2 pass"."""
    words = Counter("waived" if verdict.waived else verdict.outcome for verdict in verdicts)
    return ", ".join(
        f"{words[word]} {word}" for word in ("fail", "error", "inconclusive", "waived", "pass") if words[word]
    )


def _fenced(verdicts: Sequence[Verdict], before: Sequence[str] = ()) -> str:
    lines = [*before]
    for verdict in verdicts[:_SHOWN]:
        lines.append(f"{verdict.outcome}  {printable(verdict.subject)}{_about(verdict)}: {printable(verdict.message)}")
        if verdict.hint and verdict.outcome != "pass":
            lines.append(f"      {printable(verdict.hint)}")
        if verdict.waived:
            lines.append(
                f"      waived by {printable(verdict.waived.owner)} until {printable(verdict.waived.expires)}:"
                f" {printable(verdict.waived.reason)}"
            )
    if len(verdicts) > _SHOWN:
        lines.append(f"… and {len(verdicts) - _SHOWN} more")
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _about(verdict: Verdict) -> str:
    parts = [part for part in (verdict.device_class, verdict.slice) if part]
    return f" ({', '.join(map(printable, parts))})" if parts else ""


def _annotation(verdict: Verdict) -> Annotation | None:
    if verdict.outcome == "pass":
        return None
    path, line = "", 1
    if verdict.place is not None:
        path, line = verdict.place.file, max(1, verdict.place.line)
    elif verdict.where is not None:
        path = verdict.where.file
    if not path or leaves_the_tree(path):
        return None
    level: Level = "failure" if verdict.blocks else "notice" if verdict.waived else "warning"
    message = printable(verdict.message) + (f"\n{printable(verdict.hint)}" if verdict.hint else "")
    return Annotation(path, line, level, message, printable(f"{verdict.rule}: {verdict.subject}"))
