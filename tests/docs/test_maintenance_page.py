"""docs/maintenance.md says what the code does: its example passes, its numbers are counted anew."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import yaml

from fleets import make_class
from muster.cli.agent import enrol
from muster.kinds.device_class import DeviceClassSpec
from muster.kinds.maintenance import MINUTE, Disruption
from muster.plan.maintenance import longest_wait, turn_of

PAGE = (Path(__file__).parents[2] / "docs" / "maintenance.md").read_text()
SITES = 1_000


def test_the_example_is_what_a_class_declares() -> None:
    """It passes as it stands, and waits for as long as the page says."""
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    before = make_class("cam-day").spec
    spec = DeviceClassSpec.model_validate({**before.model_dump(by_alias=True), **yaml.safe_load(example)["spec"]})
    assert spec.disruption is not None
    assert f"{spec.disruption.sweep // MINUTE} minutes" in " ".join(PAGE.split())
    days, minutes = divmod(longest_wait(spec.maintenance, spec.disruption) // MINUTE, 24 * 60)
    assert f"{days} days {minutes // 60} hours" in PAGE
    assert minutes % 60 == 0


def test_the_table_is_what_is_counted() -> None:
    """The fullest turn of each of a thousand sites, by the formula of the page."""
    rows = re.findall(r"^\| (\d+%) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for share, *numbers in rows:
        disruption, size = Disruption(label="site", share=share, turn="15m"), int(numbers[0])
        fullest = sorted(_fullest(disruption, size, site) for site in range(SITES))
        counted = [size, size // disruption.turns, fullest[SITES // 2], fullest[SITES * 99 // 100 - 1], fullest[-1]]
        assert counted == [int(number) for number in numbers]


def test_what_is_named_exists() -> None:
    """The option, and the file with vectors."""
    assert "--time-zone" in {name for option in enrol.params for name in option.opts}
    for path in re.findall(r"`(tests/[a-z_/]+\.json)`", PAGE):
        assert (Path(__file__).parents[2] / path).exists()


def _fullest(disruption: Disruption, size: int, site: int) -> int:
    labels = {"site": f"site-{site:04}"}
    turns = Counter(turn_of(disruption, f"device-{site:04}-{number:04}", labels) for number in range(size))
    return max(turns.values())
