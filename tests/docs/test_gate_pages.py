"""The pages of docs/gates.md: their examples load, their commands can be called, and none is missing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from ruamel.yaml import YAML

from muster.check.gates.declared import gate_problems
from muster.cli import VERBS, Verbs
from muster.kinds.policy import Gate, GateMetric

PAGES = re.split(r"^## ", (Path(__file__).resolve().parents[2] / "docs/gates.md").read_text(), flags=re.MULTILINE)[1:]
BY_METRIC = {re.findall(r"^### Fields of (.*)$", page, flags=re.MULTILINE)[0]: page for page in PAGES}


def test_every_metric_has_one_page() -> None:
    """In the order of the declaration."""
    assert list(get_args(GateMetric)) == list(BY_METRIC)
    assert len(BY_METRIC) == len(PAGES)


@pytest.mark.parametrize("metric", BY_METRIC)
def test_a_page_runs_from_example_to_way_out(metric: str) -> None:
    """Example, fields, what it reads, how to satisfy it."""
    page = BY_METRIC[metric]
    marks = ("```yaml", f"### Fields of {metric}", f"### What {metric} reads", f"### How to satisfy {metric}")
    found = [page.index(mark) for mark in marks]
    assert found == sorted(found)


@pytest.mark.parametrize("metric", BY_METRIC)
def test_the_example_of_a_page_loads(metric: str) -> None:
    """As an entry of a tier's gates, without any complaint."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", BY_METRIC[metric], flags=re.MULTILINE | re.DOTALL)
    (fields,) = YAML(typ="safe", pure=True).load(block)
    gate = Gate.model_validate(fields)
    assert metric == gate.metric
    assert list(gate_problems(gate)) == []


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's path and its parameters, without calling it."""
    command: click.Command = Verbs()
    name = "muster"
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None, f"{name} has no {arguments[0]}"
        name, command, arguments = f"{name} {arguments[0]}", found, arguments[1:]
    return name, command.make_context(name, arguments).params


@pytest.mark.parametrize(
    "line", sorted({line for page in PAGES for line in re.findall(r"^muster .*$", page, flags=re.MULTILINE)})
)
def test_the_command_of_a_page_can_be_called(line: str) -> None:
    """Verb, sub-verb and options exist, and take these values."""
    name, parameters = parsed(shlex.split(line)[1:])
    assert name.split()[1] in VERBS
    assert "evidence.pem" in str(parameters["key"])
