"""For people at a terminal: the verdict first, 120 columns at most, and nothing that needs colour."""

from __future__ import annotations

import io
from functools import cached_property
from typing import TYPE_CHECKING, Final

from muster.check.change import Item
from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.review.reports.neutral import identifier, terminal
from muster.review.reports.words import (
    Group,
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
    waiver_line,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH: Final = 120


def text_report(judgement: Judgement) -> str:
    """Headline, notes, plan, verdicts by section, approvals, changes; only what there is."""
    page = _Page()
    page.line(headline(judgement))
    if judgement.outcome == "no-change":
        return page.text()
    for note in judgement.notes:
        page.line(f"note: {note}")
    _plan(page, judgement)
    for group in groups(judgement):
        _group(page, group)
    _approvals(page, judgement)
    _changes(page, judgement.change.items)
    return page.text()


class _Page:
    """Lines and tables, wrapped; every text that comes in is neutralised here."""

    def __init__(self) -> None:
        self._written = io.StringIO()

    @cached_property
    def _console(self) -> Console:
        # Loaded for what needs to be measured: most pages have neither a table nor a long line.
        from rich.console import Console

        return Console(
            file=self._written,
            width=WIDTH,
            height=100,
            color_system=None,
            force_terminal=False,
            force_jupyter=False,
            legacy_windows=False,
            _environ={},
        )

    def line(self, text: str, indent: int = 0) -> None:
        shown = terminal(text)
        if shown.isascii() and indent + len(shown) <= WIDTH:
            self._written.write(f"{' ' * indent}{shown}\n")
            return
        from rich.text import Text

        self._indented(Text(shown, overflow="fold"), indent)

    def heading(self, text: str) -> None:
        self._written.write("\n")
        self.line(text)

    def table(self, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            grid.add_column(column, overflow="fold")
        for row in rows:
            grid.add_row(*(Text(terminal(cell), overflow="fold") for cell in row))
        self._indented(grid, 2)

    def _indented(self, shown: RenderableType, indent: int) -> None:
        from rich.padding import Padding

        self._console.print(Padding(shown, (0, 0, 0, indent)))

    def text(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self._written.getvalue().splitlines())


def _plan(page: _Page, judgement: Judgement) -> None:
    rows = moves(judgement.rows)
    if not judgement.rows:
        return
    page.heading("Plan")
    if rows:
        page.table(
            ("model", "class", "cohort", "now", "then", "moves", "download", "tier"),
            [
                (
                    identifier(row.model),
                    identifier(row.device_class),
                    identifier(row.cohort),
                    shares(row.now, row.model),
                    shares(row.then, row.model),
                    moved(row),
                    download(row),
                    row.tier,
                )
                for row in rows
            ],
        )
    unmoved = len(judgement.rows) - len(rows)
    if unmoved:
        page.line(f"{unmoved} more stay{'s' if unmoved == 1 else ''} as {'it is' if unmoved == 1 else 'they are'}", 2)


def _group(page: _Page, group: Group) -> None:
    page.heading(f"{group.title}: {identifier(group.subject)}" if group.subject else group.title)
    for verdict in by_weight(group.verdicts):
        _verdict(page, verdict, named=group.subject is None)


def _verdict(page: _Page, verdict: Verdict, *, named: bool) -> None:
    what = ", ".join(map(identifier, called(verdict)))
    about = f" {identifier(verdict.subject)}:" if named else ""
    page.line(f"{label(verdict)}: {what}:{about} {verdict.message}", 2)
    if verdict.outcome == "pass":
        return
    place, waiver = place_of(verdict), waiver_line(verdict)
    if verdict.measured or verdict.threshold:
        page.line(f"measured: {verdict.measured or 'nothing'}; needed: {verdict.threshold or 'nothing'}", 4)
    if verdict.lifts_at:
        page.line(f"lifts at: {verdict.lifts_at}", 4)
    if waiver:
        page.line(waiver, 4)
    if verdict.hint:
        page.line(f"hint: {verdict.hint}", 4)
    if place:
        page.line(f"at: {place}", 4)


def _approvals(page: _Page, judgement: Judgement) -> None:
    if not judgement.approvals:
        return
    page.heading("Approvals needed")
    for approval in judgement.approvals:
        by = ", ".join(map(identifier, approval.by)) or "nobody that the base names"
        given = f"; given by {', '.join(map(identifier, approval.given))}" if approval.given else ""
        page.line(f"{approval_state(approval)}: {approval.what}: {approval.count} of {by}{given}", 2)


def _changes(page: _Page, items: tuple[Item, ...]) -> None:
    if not items:
        return
    page.heading("Changes")
    for item in items:
        details = f": {'; '.join(item.details)}" if item.details else ""
        page.line(f"{item.what} {item.kind}: {identifier(item.name)}{details}", 2)
