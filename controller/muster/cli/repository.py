"""Loading the fleet that a repository declares, for verbs that need it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from muster.kinds.fleet import Fleet

_Command = TypeVar("_Command", bound=Callable[..., Any])


def repository_option(command: _Command) -> _Command:
    """Add `--repository PATH` and `--revision REV` to a verb."""
    command = click.option("--revision", default="HEAD", show_default=True, help="The commit to read.")(command)
    return click.option(
        "--repository", type=click.Path(file_okay=False), default=".", show_default=True, help="The fleet's repository."
    )(command)


def load_fleet(repository: str, revision: str) -> Fleet:
    """The fleet at a revision. Raises `Refused` (with the first complaint), `Unusable` (no such revision)."""
    from muster.source.git import Repository
    from muster.source.load import Loader

    source = Repository(Path(repository))
    return Loader().commit(source, source.resolve(revision)).fleet_or_refuse(revision)
