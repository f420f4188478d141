"""`muster plan`: what the controller would do now, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.describe import print_plan
from muster.cli.output import emit, output_option, state_option


@click.command()
@click.option("--repository", default=".", show_default=True, help="Local path or URL of the fleet's repository.")
@click.option("--branch", default="main", show_default=True)
@state_option
@output_option
def plan(output: str, **options: Any) -> int:
    """Show what the controller would do for the newest commit, and what it waits for. Nothing is carried out.

    Exit 0: nothing to do. Exit 1: there is something to do or to wait for.
    """
    from datetime import UTC, datetime

    from muster.daemon import Controller, Settings
    from muster.kinds.errors import Unusable
    from muster.plan.describe import plan_body

    settings = Settings(options["repository"], Path(options["state"]).absolute(), branch=options["branch"])
    controller = Controller(settings)
    try:
        preview = controller.preview(datetime.now(UTC))
    finally:
        controller.close()
    if preview.plan is None:
        raise Unusable("; ".join(preview.complaints) or "nothing is declared", "run `muster check` on the repository")
    body = {**plan_body(preview.plan, {}), "complaints": list(preview.complaints)}
    emit(body, output, lambda: print_plan(body))
    for complaint in preview.complaints:
        click.echo(f"not the newest commit: {complaint}", err=True)
    return 1 if preview.plan.actions or preview.plan.waits or preview.complaints else 0
