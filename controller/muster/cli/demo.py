"""`muster demo`: the whole loop on a scratch fleet of real agents."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, output_option


@click.command()
@click.option("--source", type=click.Path(file_okay=False, exists=True), default=".", help="A clone of this project.")
@click.option("--folder", type=click.Path(file_okay=False), help="Keep everything here (default: a temporary folder).")
@click.option("--devices", type=click.IntRange(4, 200), default=16, show_default=True, help="Devices per class.")
@click.option("--kill-daemon", type=click.IntRange(0, 100), default=0, help="SIGKILL the daemon this many times.")
@click.option("--seed", type=int, default=0, show_default=True, help="Picks the moments of --kill-daemon.")
@click.option("--mixed", is_flag=True, help="One class has clients of hawkBit's API (SWUpdate) in place of agents.")
@output_option
def demo(output: str, **options: Any) -> int:
    """Promote a release to a fleet of real agents by commits, then watch a bad one being stopped and reverted.

    Exit 0 only if every device ends up running what git declares, and everything on the way was observed.
    """
    from muster.cli.demo_view import audience_for
    from muster.demo.stage import Plot, play

    plot = Plot(
        devices_per_class=options["devices"],
        kills=options["kill_daemon"],
        seed=options["seed"],
        mixed=options["mixed"],
    )
    source = Path(options["source"]).absolute()
    live = output == "text" and sys.stdout.isatty()
    with audience_for(live=live, quiet=output != "text") as audience:
        if options["folder"]:
            folder = Path(options["folder"]).absolute()
            folder.mkdir(parents=True)
            report = play(source, folder, plot, audience)
        else:
            with tempfile.TemporaryDirectory(prefix="muster-demo-") as scratch:
                report = play(source, Path(scratch), plot, audience)
    emit(report.as_data(), output, lambda: click.echo("\n" + "\n".join(report.lines())))
    return 0 if report.holds else 1
