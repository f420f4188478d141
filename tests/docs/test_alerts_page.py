"""docs/alerts.md says what the code does: its table is the table of reasons, its example passes, its verbs exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from muster.apply.alerts.sending import _FINAL
from muster.cli.alerts import alerts
from muster.kinds.alert_reason import ALERT_KINDS, AlertReason
from muster.kinds.channel import Channel

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()


def test_the_table_is_that_of_the_code() -> None:
    """Every reason with its severity and sentence, and no other."""
    shown = PAGE.partition("<!-- reasons:begin -->\n")[2].partition("<!-- reasons:end -->")[0]
    rows = [f"| `{reason}` | {kind.severity} | {kind.says} |" for reason, kind in ALERT_KINDS.items()]
    assert shown.strip().splitlines()[2:] == rows
    assert list(ALERT_KINDS) == list(AlertReason.__args__)


def test_the_example_is_a_channel() -> None:
    """It passes as it stands."""
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert Channel.model_validate(yaml.safe_load(example)).metadata.name == "on-call"


def test_what_is_named_exists() -> None:
    """Verbs, statuses that are final, and the components that reasons fall back on."""
    named = set(re.findall(r"muster alerts ([a-z-]+)", PAGE)) - {"try."}
    assert named <= set(alerts.commands)
    assert ", ".join(str(status) for status in sorted(_FINAL)) in PAGE
    declared = yaml.safe_load((Path(__file__).parents[2] / "docs" / "components.yaml").read_text())
    known = {component["id"] for component in declared["spec"]["components"]}
    assert {kind.component for kind in ALERT_KINDS.values()} <= known
