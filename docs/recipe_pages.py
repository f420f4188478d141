"""The table of what each stage of a recipe computes with, for docs/reproducibility.md."""

from __future__ import annotations

from muster.build.recipes.determinism import DETERMINISM


def stages() -> str:
    """One row per setting of a recipe."""
    lines = [f"| {row.setting} | {row.computes} | {row.leaves} |" for row in DETERMINISM]
    return "\n".join(["| setting | computes with | leaves to chance |", "|---|---|---|", *lines, ""])
