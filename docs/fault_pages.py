"""The tables of docs/faults.md: what the tests found when they ran last, as they keep it in outcomes.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

AGENT_TESTS = Path(__file__).resolve().parent.parent / "tests/agent"
sys.path.append(str(AGENT_TESTS))

from lossy_disk import LOSSES  # noqa: E402 - the path to it was only just added

OUTCOMES = ("nothing yet", "old confirmed", "new on trial", "new confirmed")
FAULT = "fault: "


def _kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((AGENT_TESTS / "outcomes.json").read_text())
    return kept


def crash_points() -> str:
    """How many points there are, and what each class of them ended in."""
    found = _kept()["crash points"]
    calls = found["calls"]
    each = ", ".join(f"{count} × {call}" for call, count in sorted(calls.items()))
    cases = sum(sum(row.values()) for row in found["steps"].values())
    lines = [
        f"**{sum(calls.values())} crash points**: {each}.",
        f"Each with {len(LOSSES)} losses: **{cases} crashes**, which left {found['tried']} different devices.",
        "All of them ended in one of the outcomes, and then got where they were going.",
        "",
        *_table("stopped during", found["steps"], found["steps"]),
        "",
        *_table("lost", found["losses"], {loss: f"{loss}: {what}" for loss, what in LOSSES.items()}),
    ]
    return "\n".join([*lines, ""])


def _table(title: str, rows: dict[str, dict[str, int]], names: Any) -> list[str]:
    lines = [f"| {title} | {' | '.join(OUTCOMES)} |", f"|---|{'---|' * len(OUTCOMES)}"]
    for row in names:
        name = names[row] if isinstance(names[row], str) else row
        lines.append(f"| {name} | {' | '.join(str(rows[row].get(outcome, 0)) for outcome in OUTCOMES)} |")
    return lines


def faults() -> str:
    """One row per fault: what runs then, the codes that the server heard, whether the artifact is quarantined."""
    lines = ["| fault | runs then | the server heard | quarantined |", "|---|---|---|---|"]
    for name, found in sorted(_kept().items()):
        if name.startswith(FAULT):
            codes = ", ".join(f"`{code}`" for code in found["codes"])
            quarantined = "yes" if found["quarantined"] else "no"
            lines.append(f"| {name.removeprefix(FAULT)} | {found['runs']} | {codes} | {quarantined} |")
    return "\n".join([*lines, ""])


def bounds() -> str:
    """How much a device keeps at most."""
    found = _kept()["bounds"]
    lines = [
        "| kept on the disk | at most |",
        "|---|---|",
        f"| artifacts, packed or unpacked, at any moment | {found['artifacts']} |",
        f"| reports that wait for the server | {found['reports']} |",
        f"| quarantined artifacts that are remembered | {found['quarantine']} |",
        f"| bytes of the journal, with both full (there twice; thrice while written) | {found['journal']} |",
    ]
    return "\n".join([*lines, ""])
