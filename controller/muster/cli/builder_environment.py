"""Where a verb builds: options, and what they mean.

| --environment | the stages run                                                                              |
|---------------|---------------------------------------------------------------------------------------------|
| `lock`        | in an environment made from the release's lock alone: what a rebuild claims                  |
| `own`         | in this process, whose tools must be the locked versions: their files are not looked at      |
| `any`         | `own` where the versions fit, else `lock`: for bytes that are compared with their pins anyway |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from muster.build.hermetic.run import HermeticRun
    from muster.kinds.release import Builder

_Command = TypeVar("_Command", bound=Callable[..., Any])


def environment_options(default: str | None) -> Callable[[_Command], _Command]:
    """Add `--environment` and `--wheelhouse` to a verb."""

    def add(command: _Command) -> _Command:
        command = click.option(
            "--sandbox",
            type=click.Choice(["namespaces", "landlock", "limits"]),
            default="landlock",
            show_default=True,
            help="The weakest level of the sandbox that is accepted.",
        )(command)
        command = click.option(
            "--wheelhouse",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of wheels to install from, offline; STATE/wheelhouse if there is one.",
        )(command)
        return click.option(
            "--environment",
            type=click.Choice(["lock", "own", "any"]),
            default=default,
            show_default=default is not None,
            help="What the stages run with: made from the release's lock, the controller's own, or either.",
        )(command)

    return add


def vary_option(command: _Command) -> _Command:
    """Add `--vary/--no-vary` to a verb that rebuilds."""
    return click.option(
        "--vary/--no-vary",
        default=True,
        show_default=True,
        help="Build what comes out right in other circumstances too: locale, folder, user, CPU and more.",
    )(command)


def run_in(where: Mapping[str, Any], builder: Builder, lock: bytes, state: Path) -> HermeticRun:
    """How the stages run, by the options above: always in a process of their own, in the sandbox.

    Raises `Unusable` for a lock that is not the pinned one, and what `hermetic_run` and `own_run` raise.
    """
    environment = where["environment"]
    from muster.build.environment import check_lock, environment_differs
    from muster.build.hermetic.run import hermetic_run, own_run
    from muster.build.sandbox.confinement import level_named

    check_lock(builder, lock)
    lowest = level_named(where["sandbox"])
    if environment == "own" or (environment == "any" and not environment_differs(lock)):
        return own_run(builder, lock, lowest=lowest)
    return hermetic_run(lock, builder.lock, state, wheelhouse=where["wheelhouse"], lowest=lowest)
