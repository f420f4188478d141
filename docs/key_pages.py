"""The tables of docs/keys.md: the attacks that the tests try, and the cases of TUF's conformance suite."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests/agent"))

from conformance_list import NOT_OURS, TESTS
from tuf_attack_list import ATTACKS


def attacks() -> str:
    """One row per attempt: what was tried, with which keys, what the device reports, and what it does."""
    lines = ["| attack | tried | keys of the attacker | the device reports | and |", "|---|---|---|---|---|"]
    for attack in ATTACKS.values():
        name = attack.name if attack.source == "TUF" else f"{attack.source}: {attack.name}"
        lines.append(f"| {name} | {attack.tried} | {attack.holds or 'none'} | `{attack.code}` | {attack.outcome} |")
    return "\n".join([*lines, ""])


def conformance() -> str:
    """The suite's tests by file; and those that are not tried, with the reason."""
    lines = ["| file of the suite | its tests |", "|---|---|"]
    lines += [f"| `{file}` | {', '.join(f'`{name}`' for name in tests)} |" for file, tests in TESTS.items()]
    lines += [f"| `{file}` | `{name}` is not tried: it {why} |" for (file, name), why in NOT_OURS.items()]
    return "\n".join([*lines, ""])
