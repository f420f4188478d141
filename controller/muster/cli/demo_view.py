"""Watching the demo: a live table on a terminal, a line for every change in a pipe, nothing but the result for data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import click

from muster.demo.observer import Snapshot
from muster.demo.stage import Audience


@contextlib.contextmanager
def audience_for(*, live: bool, quiet: bool) -> Iterator[Audience]:
    """Who watches. `quiet` keeps standard output for the data; progress goes to standard error."""
    if live:
        yield from _live()
        return
    lines = _Lines(err=quiet)
    yield Audience(lines.say, lines.show)


class _Lines:
    """One line whenever something changed."""

    def __init__(self, *, err: bool) -> None:
        self._err = err
        self._started = time.monotonic()
        self._last: object = None

    def say(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._started:6.1f}s  {text}", err=self._err)

    def show(self, snapshot: Snapshot, what: str) -> None:
        running = {name: dict(sorted(counts.items())) for name, counts in sorted(snapshot.running().items())}
        status = snapshot.status
        suspended = [item["release"] for item in status.get("suspensions", [])]
        seen = (running, status.get("generation"), status.get("commit"), suspended, what)
        if seen == self._last:
            return
        self._last = seen
        runs = "; ".join(
            f"{name} " + ", ".join(f"{release.partition('/')[2] or release} ×{n}" for release, n in counts.items())
            for name, counts in running.items()
        )
        brake = f"  suspended {', '.join(suspended)}" if suspended else ""
        self.say(f"gen {status.get('generation')} {str(status.get('commit'))[:7]}  {runs}{brake}  [{what}]")


def _live() -> Iterator[Audience]:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            console.print(text, style="dim")

        yield Audience(say, lambda snapshot, what: live.update(_table(snapshot, what)))


def _table(snapshot: Snapshot, what: str) -> Any:
    from rich.table import Table

    status = snapshot.status
    suspended = ", ".join(item["release"] for item in status.get("suspensions", []))
    grid = Table(
        title=f"generation {status.get('generation')}  commit {str(status.get('commit'))[:7]}  "
        f"sync {status.get('sync')}  health {status.get('health')}" + (f"  suspended {suspended}" if suspended else ""),
        caption=f"waiting until {what}",
    )
    versions = sorted({release for counts in snapshot.running().values() for release in counts})
    grid.add_column("device class")
    for version in versions:
        grid.add_column(version)
    for name, counts in sorted(snapshot.running().items()):
        total = sum(counts.values())
        grid.add_row(name, *(_bar(counts[version], total) for version in versions))
    return grid


def _bar(count: int, total: int) -> str:
    return f"{'█' * round(12 * count / total)}{'░' * (12 - round(12 * count / total))} {count}"
