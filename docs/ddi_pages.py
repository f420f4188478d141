"""What docs/hawkbit.md takes from code: the calls, what feedback means, the attributes that Muster reads."""

from __future__ import annotations

from typing import get_args

from muster.kinds import ddi_attributes
from muster.kinds.ddi_feedback import MEANINGS, Execution, Finished
from muster.serve.ddi.calls import table


def calls() -> str:
    """The calls that are answered."""
    return table()


def feedback() -> str:
    """What each feedback means, one row for what means the same whatever the result."""
    rows = []
    for execution in get_args(Execution):
        found = {finished: MEANINGS[execution, finished] for finished in get_args(Finished)}
        for finished, meaning in found.items():
            same = [name for name, other in found.items() if other == meaning]
            if finished != same[0]:
                continue
            results = "any" if len(same) == len(found) else ", ".join(f"`{name}`" for name in same)
            phase = f"`{meaning.phase}`" if meaning.phase else "as before"
            code = f"`{meaning.error_code}`" if meaning.error_code else ""
            rows.append(f"| `{execution}` | {results} | {meaning.state} | {phase} | {code} |\n")
    return "| execution | finished | the action is | phase | error code |\n|---|---|---|---|---|\n" + "".join(rows)


def attributes() -> str:
    """The attributes that Muster reads: the table of the module that does."""
    table_lines = [line for line in (ddi_attributes.__doc__ or "").splitlines() if line.startswith("|")]
    return "".join(f"{line}\n" for line in table_lines)
