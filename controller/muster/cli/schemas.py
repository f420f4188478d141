"""`muster schemas`: write the JSON Schemas that editors complete YAML from."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, output_option
from muster.kinds.errors import Unusable


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("schemas"), show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is not what would be written.")
@output_option
def schemas(out: Path, check: bool, output: str) -> int:
    """Write the JSON Schemas of the kinds and of the report on a change, one file each; and the OpenAPI document."""
    from muster.artifacts.durable import write_durably
    from muster.review.reports.as_data import schema_text
    from muster.serve.application import OPENAPI_FILE, openapi_text
    from muster.source.schema import DELTA_INDEX_FILE, delta_index_text, schema_files

    files = (
        schema_files()
        | {DELTA_INDEX_FILE: delta_index_text()}
        | {"judgement.json": schema_text(), OPENAPI_FILE: openapi_text()}
    )
    try:
        stale = [name for name, text in files.items() if _read(out / name) != text.encode()]
        for name in () if check else stale:
            write_durably(out / name, files[name].encode())
    except OSError as error:
        raise Unusable(f"cannot use {error.filename}: {error.strerror}", "name another folder with --out") from error
    said = "{}: differs from the kinds" if check else "wrote {}"
    emit(
        {"stale" if check else "written": [str(out / name) for name in stale]},
        output,
        lambda: click.echo("".join(said.format(out / name) + "\n" for name in stale), nl=False),
    )
    return 1 if check and stale else 0


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
