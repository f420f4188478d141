"""Writes what the documents take from code: the diagram of phases and the table of verbs.

`python docs/generate.py` writes, `--check` only compares (exit 1 if something is stale).
"""

from __future__ import annotations

import sys
from pathlib import Path

from muster.cli import VERBS
from muster.kinds.phases import mermaid

ROOT = Path(__file__).resolve().parent.parent


def phases() -> str:
    """The phases as a Mermaid diagram."""
    return f"```mermaid\n{mermaid()}```\n"


def verbs() -> str:
    """The verbs as a table."""
    rows = "".join(f"| `muster {verb}` | {line} |\n" for verb, (_, line) in sorted(VERBS.items()))
    return f"| verb | what it does |\n|---|---|\n{rows}"


GENERATED = {("docs/architecture.md", "phases"): phases, ("README.md", "verbs"): verbs}


def replace(text: str, name: str, content: str) -> str:
    """The text with `content` between the markers of `name`. Raises `ValueError` if they are missing."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise ValueError(f"the markers of {name} are missing")
    return f"{before}{begin}{content}{marker}{after}"


def main() -> int:
    """Write or check every generated part."""
    stale = []
    for (path, name), content in GENERATED.items():
        file = ROOT / path
        text = file.read_text()
        new = replace(text, name, content())
        if new != text:
            stale.append(f"{path}: {name}")
            if "--check" not in sys.argv:
                file.write_text(new)
    if stale and "--check" in sys.argv:
        print("stale, run `make docs`:", *stale, sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
