"""The build report for people: plain text, or Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from muster.kinds.quantity import format_duration

Row = tuple[str, ...]


@dataclass(frozen=True)
class _Section:
    title: str
    columns: Row
    rows: tuple[Row, ...]
    note: str = ""


def report_text(report: dict[str, Any]) -> str:
    """Aligned columns, readable without colour."""
    lines = [_headline(report)]
    for section in _sections(report):
        lines += ["", section.title]
        widths = [max(map(len, column)) for column in zip(section.columns, *section.rows, strict=True)]
        for row in (section.columns, *section.rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  " + "  ".join(cells).rstrip())
        if section.note:
            lines.append(f"  {section.note}")
    return "\n".join(lines)


def report_markdown(report: dict[str, Any]) -> str:
    """A heading, then one table per section."""
    lines = [f"## Build of {report['release']}", "", _headline(report)]
    for section in _sections(report):
        lines += ["", f"### {section.title}", "", _markdown_row(section.columns)]
        lines.append(_markdown_row(["---"] * len(section.columns)))
        lines += [_markdown_row(row) for row in section.rows]
        if section.note:
            lines += ["", section.note]
    return "\n".join(lines)


def _headline(report: dict[str, Any]) -> str:
    if report["identical"]:
        return f"{report['release']}: identical to its pins, artifact {report['artifact']['digest']}"
    return str(report["reason"])


def _sections(report: dict[str, Any]) -> list[_Section]:
    return [_outputs(report), _sizes(report), _costs(report), _accuracy(report), _latency(report)]


def _outputs(report: dict[str, Any]) -> _Section:
    rows = [
        (entry["output"], "identical" if entry["identical"] else "DIFFERENT", entry["found"])
        for entry in report["outputs"]
    ]
    return _Section("Outputs of the stages", ("output", "against the pin", "found"), tuple(rows))


def _sizes(report: dict[str, Any]) -> _Section:
    size = report["size"]
    rows: list[Row] = [
        ("source model", f"{size['source']:,}", ""),
        ("quantized model", f"{size['model']:,}", f"{size['modelChange']} against the source"),
    ]
    old = size["superseded"]
    rows.append(("artifact", f"{size['artifact']:,}", f"{old['change']} against {old['release']}" if old else ""))
    return _Section("Size", ("what", "bytes", "change"), tuple(rows))


def _costs(report: dict[str, Any]) -> _Section:
    latency, parameters = report["latency"], report["parameters"]
    rows: list[Row] = [
        (what, f"{source:,}", f"{artifact:,}")
        for what, source, artifact in (
            ("parameters", parameters["source"], parameters["artifact"]),
            ("operations per frame", latency["operations"]["source"], latency["operations"]["artifact"]),
            ("bytes per frame", latency["bytes"]["source"], latency["bytes"]["artifact"]),
        )
    ]
    counts = report["operators"]
    rows += [
        (operator, str(counts["source"].get(operator, 0)), str(counts["artifact"].get(operator, 0)))
        for operator in sorted({*counts["source"], *counts["artifact"]})
    ]
    note = "operations: multiply-accumulates of Conv, Gemm and MatMul"
    return _Section("Graph", ("what", "source", "artifact"), tuple(rows), note)


def _accuracy(report: dict[str, Any]) -> _Section:
    accuracy = report["accuracy"]
    rows = [
        (model, f"{found['right']} of {found['frames']}", found["share"], found["confidentShare"])
        for model, found in (("source", accuracy["source"]), ("artifact", accuracy["artifact"]))
    ]
    return _Section("Accuracy on the evaluation snapshot", ("model", "right", "share", "confident"), tuple(rows))


def _latency(report: dict[str, Any]) -> _Section:
    rows = [
        (
            entry["deviceClass"],
            entry["provider"],
            *(_duration(entry[f"{what}Microseconds"]) for what in ("source", "artifact", "budget")),
        )
        for entry in report["latency"]["classes"]
    ]
    columns = ("device class", "provider", "source", "artifact", "p95 budget")
    return _Section("Predicted latency of one frame", columns, tuple(rows), report["latency"]["formula"])


def _duration(microseconds: int | None) -> str:
    return "class not declared" if microseconds is None else format_duration(microseconds)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
