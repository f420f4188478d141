"""The difference report of two models for people: plain text, or Markdown for a pull request.

What it prints comes out of models: no name of a tensor writes to a terminal, ends a table, links or mentions anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from muster.review.reports.neutral import markdown, terminal

Row = tuple[str, ...]


@dataclass(frozen=True)
class _Section:
    title: str
    columns: Row
    rows: tuple[Row, ...]


def difference_text(report: dict[str, Any]) -> str:
    """Aligned columns, readable without colour."""
    lines = [terminal(line) for line in _head(report)]
    for section in _sections(report):
        rows = [tuple(terminal(cell) for cell in row) for row in (section.columns, *section.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["", section.title]
        lines += [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return "\n".join(lines)


def difference_markdown(report: dict[str, Any]) -> str:
    """A heading, then one table per section."""
    lines = ["## Difference of two models", "", *(markdown(line) + "  " for line in _head(report))]
    for section in _sections(report):
        lines += ["", f"### {section.title}", "", _markdown_row(section.columns)]
        lines.append("|" + " --- |" * len(section.columns))
        lines += [_markdown_row(row) for row in section.rows]
    return "\n".join(lines)


def _head(report: dict[str, Any]) -> list[str]:
    lines = [f"{report[side]['name']}: {report[side]['model']}" for side in ("first", "second")]
    lines.append(report["summary"])
    if report["firstStageThatDiverged"]:
        lines.append(f"first stage that diverged: {report['firstStageThatDiverged']}")
    return lines


def _sections(report: dict[str, Any]) -> list[_Section]:
    made = (
        _Section("Likely causes", ("cause", "certainty", "evidence"), _causes(report)),
        _Section("Stages", ("output", "", "first", "second"), _stages(report)),
        _Section("Graph", ("change", "node"), _graph(report["graph"])),
        _Section("Initializers", ("name", "role", "difference"), _initializers(report["initializers"])),
        _Section("How far apart", ("of", "at least", "elements"), _histograms(report)),
        _Section("Metadata", ("field", "first", "second"), _metadata(report)),
    )
    return [section for section in made if section.rows]


def _causes(report: dict[str, Any]) -> tuple[Row, ...]:
    return tuple((one["cause"], one["certainty"], one["evidence"]) for one in report["causes"])


def _stages(report: dict[str, Any]) -> tuple[Row, ...]:
    return tuple(
        (one["stage"], "same" if one["same"] else "DIFFERENT", one["first"], one["second"]) for one in report["stages"]
    )


def _graph(graph: dict[str, Any]) -> tuple[Row, ...]:
    rows: list[Row] = [(what, node) for what in ("added", "removed") for node in _shown(graph[what])]
    rows += [("changed", f"{one['node']}: {'; '.join(one['changes'])}") for one in _shown(graph["changed"])]
    rows += [("renamed", f"{one['first']} became {one['second']}") for one in _shown(graph["renamed"])]
    rows += [("interface", text) for text in graph["interface"]]
    if graph["reordered"]:
        rows.append(("reordered", "the common nodes come in another sequence"))
    return tuple(rows + _left_out(graph, ("added", "removed", "changed", "renamed"), 2))


def _initializers(found: dict[str, Any]) -> tuple[Row, ...]:
    rows: list[Row] = [(name, "", what) for what in ("added", "removed") for name in _shown(found[what])]
    rows += [(one["name"], one["role"], one["what"]) for one in _shown(found["differing"])]
    if found["reordered"]:
        rows.append(("(all)", "", "they come in another sequence"))
    return tuple(rows + _left_out(found, ("added", "removed", "differing"), 3))


def _histograms(report: dict[str, Any]) -> tuple[Row, ...]:
    named = {
        "initializers": report["initializers"]["histogram"],
        "ranges": (report["ranges"] or {}).get("histogram", {}),
    }
    return tuple(
        (what, f"{reached} {unit}", str(count))
        for what, histograms in named.items()
        for unit, histogram in histograms.items()
        for reached, count in histogram.items()
    )


def _metadata(report: dict[str, Any]) -> tuple[Row, ...]:
    return tuple((name, one["first"], one["second"]) for name, one in report["metadata"].items())


def _shown(entry: dict[str, Any]) -> list[Any]:
    return list(entry["shown"])


def _left_out(found: dict[str, Any], names: Sequence[str], width: int) -> list[Row]:
    left = {name: found[name]["count"] - len(found[name]["shown"]) for name in names}
    return [("...", *[""] * (width - 2), f"{count} more {name}") for name, count in left.items() if count]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown(cell) for cell in cells) + " |"
