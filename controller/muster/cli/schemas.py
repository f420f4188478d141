"""`muster schemas`: write the JSON Schemas that editors complete YAML from."""

from __future__ import annotations

from pathlib import Path

import click

from muster.kinds.errors import Unusable


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("schemas"), show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is not what would be written.")
def schemas(out: Path, check: bool) -> int:
    """Write the JSON Schemas of the kinds, one file each."""
    from muster.source.schema import schema_files

    try:
        stale = [name for name, text in schema_files().items() if _read(out / name) != text.encode()]
        if check:
            for name in stale:
                click.echo(f"{out / name}: differs from the kinds")
            return 1 if stale else 0
        out.mkdir(parents=True, exist_ok=True)
        for name in stale:
            unfinished = out / f".{name}.new"
            unfinished.write_text(schema_files()[name], encoding="utf-8")
            unfinished.replace(out / name)
            click.echo(f"wrote {out / name}")
    except OSError as error:
        raise Unusable(f"cannot use {error.filename}: {error.strerror}", "name another folder with --out") from error
    return 0


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
