"""The page about verdicts: what it shows of a tier is what a tier takes."""

from __future__ import annotations

import re
from pathlib import Path

from fleets import make_policy
from muster.source.yaml_events import parse

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"


def test_the_tier_of_the_page_is_a_tier() -> None:
    """Its fields are those of the kind."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = {name: value for name, value in parse(block.encode()).data.items() if name not in ("steps", "soak")}
    tier = make_policy(**shown).spec.tiers[0]
    assert (tier.advance, tier.min_exposure, tier.revert) == ("commit", 500, "commit")
