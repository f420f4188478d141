"""How a build comes along, on standard error: a bar on a terminal, one line per stage in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from muster.build.stages import Reporter, StageOutcome

_STAGES = 6


@contextmanager
def build_progress(output: str) -> Iterator[Reporter | None]:
    """A reporter for one build; none where the output is for a program."""
    if output == "json":
        yield None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            yield _Bar(progress, progress.add_task("build", total=_STAGES))


class _Lines:
    def started(self, stage: str) -> None:
        pass

    def advanced(self, stage: str, done: int, total: int) -> None:
        pass

    def finished(self, outcome: StageOutcome) -> None:
        how = "cached" if outcome.cached else f"{outcome.seconds:.2f} s"
        click.echo(f"{outcome.stage}\t{outcome.digest}\t{how}", err=True)


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def started(self, stage: str) -> None:
        self._progress.update(self._task, description=stage)

    def advanced(self, stage: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=f"{stage} {done}/{total} frames")

    def finished(self, outcome: StageOutcome) -> None:
        self._progress.update(self._task, description=outcome.stage, advance=1)
