"""Options that verbs share, and how they print: text for people, JSON or YAML for programs, plain lines in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output_option(command: _Command) -> _Command:
    """Add `-o text|json|yaml` to a verb."""
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True
    )(command)


def state_option(command: _Command) -> _Command:
    """Add `--state DIR` to a verb: where the controller keeps its store, keys and records."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False),
        default=".muster",
        envvar="MUSTER_STATE",
        show_default=True,
        help="State folder of the controller: store, keys, records.",
    )(command)


def server_option(command: _Command) -> _Command:
    """Add `--server URL` to a verb: the running controller."""
    return click.option(
        "--server",
        default="http://127.0.0.1:8470",
        envvar="MUSTER_SERVER",
        show_default=True,
        help="The running controller.",
    )(command)


def emit(value: Any, output: str, text: Callable[[], None]) -> None:
    """Print `value` as JSON or YAML, or call `text` to print it for people."""
    if output == "json":
        click.echo(json.dumps(value, indent=2, sort_keys=False, default=str))
    elif output == "yaml":
        from ruamel.yaml import YAML

        YAML(typ="safe").dump(json.loads(json.dumps(value, default=str)), sys.stdout)
    else:
        text()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on a terminal; tab-separated lines in a pipe, so that `cut` and `awk` work."""
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    Console().print(grid)
