"""docs/running-model.md says what the code does: its example answers, its commands are taken, its numbers are those."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from agent_simulator import BRIGHT, Bench, build, hash_of

from muster.agent.active import LOOK
from muster.agent.agent import DIAGNOSTICS
from muster.agent.health import MIN_ANSWERS
from muster.agent.predictions import FILES, LIMIT
from muster.cli.agent import agent

PAGE = (Path(__file__).parents[2] / "docs" / "running-model.md").read_text()
COMMANDS = [line.split("#")[0] for line in re.findall(r"^muster agent .*", PAGE, re.MULTILINE)]


def test_the_example_answers(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """On a device whose release is confirmed, as it stands."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "running-model.md", "exec"), {"folder": bench.folder.path, "frame": BRIGHT[0]})
    label, confidence, *rest = capsys.readouterr().out.split()
    assert (label, rest) == ("bright", [built.release, "1", hash_of(built)])
    assert float(confidence) > 0.9


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_taken(command: str) -> None:
    """As they stand."""
    _, _, verb, *options = shlex.split(command)
    found = agent.commands[verb]
    found.make_context(verb, options)


def test_its_numbers_are_those_of_the_code() -> None:
    """Looks, answers of a trial, files of the log, and the model's name."""
    text = " ".join(PAGE.split())
    assert LOOK == 1.0
    assert "within a second of use, and within five" in text
    assert f"at least {MIN_ANSWERS} of them" in text
    assert (FILES, LIMIT) == (4, 8 * 2**20)
    assert "Four files of 8 MiB" in text
    assert f"the model `{DIAGNOSTICS}`" in text
    assert len(COMMANDS) == 3
