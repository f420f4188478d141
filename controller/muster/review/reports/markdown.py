"""One sticky comment: the verdict first, what blocks below it, everything else folded. Tables fit on a phone.

A comment that would be too long for a forge loses whole rows, and says how many. Nothing that somebody else wrote gets
into it but through `neutral`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from muster.check.judgement import Judgement, NeededApproval
from muster.check.verdict import Verdict
from muster.forge.forge import MARKER
from muster.review.reports.neutral import code, markdown, name_code
from muster.review.reports.rollout_picture import rollout_picture
from muster.review.reports.words import (
    Standing,
    approval_state,
    by_weight,
    called,
    download,
    groups,
    headline,
    label,
    moved,
    moves,
    place_of,
    shares,
    standing,
    waiver_line,
)

LONGEST: Final = 60_000
"""Letters of a comment; forges take a little more."""

_NOTICE: Final = 200
_SIGNS: Final[dict[Standing, str]] = {"blocks": "❌", "warns": "⚠️", "waived": "🟡", "pass": "✅"}


@dataclass(frozen=True)
class Part:
    """Lines that can be left out one by one, between lines that stay or go together. Folded if it has a title."""

    rows: list[str]
    title: str = ""
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def markdown_report(judgement: Judgement) -> str:
    """The comment, `LONGEST` letters at most."""
    said = headline(judgement)
    if judgement.outcome == "no-change":
        return f"{said}\n\n{MARKER}\n"
    sign = _SIGNS["blocks" if judgement.outcome == "blocked" else "pass"]
    lines = [f"### {sign} {said}", "", MARKER]
    parts = [part for part in _parts(judgement) if part.rows]
    room = LONGEST - _NOTICE - sum(len(line) + 1 for line in lines)
    for number, part in enumerate(parts):
        fitted = _fitted(part, room - _NOTICE * (len(parts) - number - 1))
        room -= sum(len(line) + 1 for line in fitted)
        lines += fitted
    request = judgement.request
    lines += ["", f"Judged: {name_code(request.head[:12])} against {name_code(request.base[:12])}"]
    return "\n".join(lines) + "\n"


def _fitted(part: Part, room: int) -> list[str]:
    """The part with as many rows as there is room for, and a line that says how many are missing."""
    opening = ["", f"<details><summary>{part.title}</summary>", *part.before] if part.title else ["", *part.before]
    closing = [*part.after, "", "</details>"] if part.title else part.after
    room -= _NOTICE + sum(len(line) + 1 for line in (*opening, *closing))
    kept = 0
    for row in part.rows:
        room -= len(row) + 1
        if room < 0:
            break
        kept += 1
    missing = len(part.rows) - kept
    what = "line is" if missing == 1 else "lines are"
    cut = ["", f"{missing} more {what} not shown here; `muster check` shows all."] if missing else []
    if not kept:
        return cut
    return [*opening, *part.rows[:kept], *part.after, *cut, *closing[len(part.after) :]]


def _parts(judgement: Judgement) -> Iterator[Part]:
    yield Part([f"**Note:** {markdown(note, 600)}" for note in judgement.notes])
    blocking = [verdict for verdict in judgement.verdicts if verdict.blocks]
    yield Part([_item(verdict) for verdict in blocking])
    yield _approvals(judgement)
    yield from _plan(judgement)
    yield from _verdicts(judgement)
    yield Part(
        [
            f"- {item.what} {item.kind}: {name_code(item.name, 80)}{_list(': ', item.details)}"
            for item in judgement.change.items
        ],
        f"Changes: {len(judgement.change.items)}",
        [""],
    )


def _list(opening: str, texts: tuple[str, ...]) -> str:
    return opening + ", ".join(markdown(text, 120) for text in texts) if texts else ""


def _item(verdict: Verdict) -> str:
    """One verdict as an item of a list, with what a person needs to mend it below."""
    first = (
        f"- {_SIGNS[standing(verdict)]} **{label(verdict)}** {_called(verdict)} of {name_code(verdict.subject, 120)}"
    )
    told = [f"{first}: {markdown(verdict.message, 600)}"]
    if verdict.outcome == "pass":
        return told[0]
    place, waiver = place_of(verdict), waiver_line(verdict)
    if verdict.measured or verdict.threshold:
        told.append(f"measured: {_value(verdict.measured)}, needed: {_value(verdict.threshold)}")
    told += [f"lifts at: {code(verdict.lifts_at, 40)}"] if verdict.lifts_at else []
    told += [markdown(waiver, 600)] if waiver else []
    told += [f"hint: {markdown(verdict.hint, 400)}"] if verdict.hint else []
    told += [f"at: {name_code(str(place))}"] if place else []
    return "\n  - ".join(told)


def _value(text: str | None) -> str:
    return code(text, 60) if text else "nothing"


def _called(verdict: Verdict) -> str:
    return " ".join(name_code(part, 64) for part in called(verdict))


def _approvals(judgement: Judgement) -> Part:
    needed = judgement.approvals
    missing = sum(not approval.complete for approval in needed)
    return Part(
        list(map(_approval_row, needed)),
        f"Approvals: {f'{missing} of {len(needed)} missing' if missing else 'complete'}",
        ["", "| for | needed | given | state |", "|---|---|---|---|"],
    )


def _approval_row(approval: NeededApproval) -> str:
    state = f"{_SIGNS['pass' if approval.complete else 'blocks']} {approval_state(approval)}"
    by = f"{approval.count} of {_people(approval.by)}"
    return f"| {markdown(approval.what, 160)} | {by} | {_people(approval.given)} | {state} |"


def _people(logins: tuple[str, ...]) -> str:
    shown = ", ".join(name_code(login, 64) for login in logins[:8])
    return (shown or "nobody") + (f" and {len(logins) - 8} more" if len(logins) > 8 else "")


def _plan(judgement: Judgement) -> Iterator[Part]:
    rows = moves(judgement.rows)
    if not rows:
        return
    unmoved = len(judgement.rows) - len(rows)
    yield Part(
        [
            f"| {name_code(row.model)} {name_code(row.device_class)} {name_code(row.cohort)} "
            f"| {code(shares(row.now, row.model), 120)} | {code(shares(row.then, row.model), 120)} "
            f"| {moved(row)}, {download(row)}, {row.tier} |"
            for row in rows
        ],
        f"Plan: {len(rows)} of {len(judgement.rows)} move",
        ["", "| where | now | then | moves |", "|---|---|---|---|"],
        ["", f"{unmoved} without a change."] if unmoved else [],
    )
    picture, hidden = rollout_picture(rows)
    more = ["", f"{hidden} more arrows are not drawn."] if hidden else []
    # One row: half a picture is none.
    yield Part(["\n".join(picture)], "Picture of the rollout", [""], more)


def _verdicts(judgement: Judgement) -> Iterator[Part]:
    for group in groups(judgement):
        holding = sum(standing(verdict) == "pass" for verdict in group.verdicts)
        title = f"{group.title}: {holding} of {len(group.verdicts)} hold"
        if group.section != "gate":
            # What blocks stands above already.
            told = [verdict for verdict in by_weight(group.verdicts) if not verdict.blocks]
            yield Part(list(map(_item, told)), title, [""])
            continue
        told = [verdict for verdict in group.verdicts if standing(verdict) in ("warns", "waived")]
        yield Part(
            [_gate_row(verdict) for verdict in by_weight(group.verdicts)],
            title,
            [
                "",
                f"Release {name_code(group.subject or '', 80)}",
                "",
                "| gate | result | measured |",
                "|---|---|---|",
            ],
        )
        yield Part(list(map(_item, told)), f"{group.title} that do not hold and do not block: {len(told)}", [""])


def _gate_row(verdict: Verdict) -> str:
    measured = code(verdict.measured, 60) if verdict.measured else "–"
    needed = f", needs {code(verdict.threshold, 60)}" if verdict.threshold else ""
    return f"| {_called(verdict)} | {_SIGNS[standing(verdict)]} {label(verdict)} | {measured}{needed} |"
