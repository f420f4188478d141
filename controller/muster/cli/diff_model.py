"""`muster diff-model`: why two models are not the same."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, state_option


@click.command("diff-model")
@click.argument("first")
@click.argument("second")
@state_option
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml", "markdown"]), default="text", show_default=True
)
def diff_model(first: str, second: str, state: str, output: str) -> int:
    """Explain how SECOND differs from FIRST: graph, initializers, metadata, stages, and what likely made it so.

    Each is an ONNX file, an artifact, a release (file or MODEL/VERSION, with its outputs in the store), or the JSON
    that `muster build` prints. Exits 0 if they are the same, 1 if they differ, 2 if one cannot be read.
    """
    from muster.artifacts.store import Store
    from muster.build.difference.report import difference_report
    from muster.build.difference.sides import read_side
    from muster.review.reports.model_difference import difference_markdown, difference_text

    store = Store(Path(state) / "store")
    report = difference_report(*(read_side(name, store, Path.cwd()) for name in (first, second)))
    if output == "markdown":
        click.echo(difference_markdown(report))
    else:
        emit(report, output, lambda: click.echo(difference_text(report)))
    return 0 if report["same"] else 1
