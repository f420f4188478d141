"""`muster release`: write a release file with every pin filled in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli.build_progress import build_progress
from muster.cli.builder_environment import environment_options, run_in
from muster.cli.output import emit, output_option, state_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.artifacts.store import Store
    from muster.build.new_release import Draft
    from muster.kinds.release import Builder

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)


def _options(command: _Command) -> _Command:
    """The pins that a person gives; all others come from the build."""
    for option in reversed(
        (
            click.option("--source", required=True, help="Source model: an ONNX file, or its digest in the store."),
            click.option("--calibration", required=True, help="Calibration snapshot: a file, or its digest."),
            click.option("--evaluation", required=True, help="Evaluation snapshot: a file, or its digest."),
            click.option("--golden", required=True, help="Golden snapshot: a file, or its digest."),
            click.option("--tolerance", default="0.05", show_default=True, help="How far a golden score may lie off."),
            click.option("--inference", required=True, type=_FILE, help="YAML file with the inference config."),
            click.option("--recipe", type=_FILE, help="YAML file with the recipe; a min-max int8 recipe by default."),
            click.option("--lineage", required=True, type=_FILE, help="YAML file with the source model's lineage."),
            click.option("--lock", default="builders/onnxruntime-1.31.lock", show_default=True),
            click.option("--runtime", required=True, help="Device classes it goes to: CLASS[,CLASS]."),
            click.option("--tier", required=True, type=click.Choice(["research", "production", "regulated"])),
            click.option("--supersedes", help="The version it comes after."),
            click.option(
                "--repository", type=click.Path(file_okay=False, path_type=Path), default=".", show_default=True
            ),
            click.option("--out", type=_FILE, help="Where to write; releases/MODEL/VERSION.yaml by default."),
        )
    ):
        command = option(command)
    return command


@click.group()
def release() -> None:
    """Write release files."""


@release.command()
@click.argument("model")
@click.argument("version")
@_options
@environment_options(default="any")
@state_option
@output_option
def new(state: str, output: str, **given: Any) -> None:
    """Build VERSION of MODEL and write its release file, reaching no device yet (0 % of every cohort).

    An existing file is never overwritten: pins do not change.
    """
    from muster.artifacts.durable import write_durably
    from muster.artifacts.store import Store
    from muster.build.declarations import read_bounded
    from muster.build.environment import MAX_LOCK
    from muster.build.new_release import new_release, release_text

    store = Store(Path(state) / "store")
    target = given["out"] or given["repository"] / "releases" / given["model"] / f"{given['version']}.yaml"
    if target.exists():
        raise Refused(f"{target} exists already", "give the release a new version, or remove the file")
    draft = _draft(store, given)
    with build_progress(output) as reporter:
        lock = read_bounded(given["repository"], given["lock"], MAX_LOCK)
        run = run_in(given, draft.builder, lock, Path(state))
        made, _ = new_release(draft, store, lock, reporter=reporter, run=run)
    write_durably(target, release_text(made).encode())
    artifact = made.spec.artifact

    def text() -> None:
        click.echo(f"wrote {target}: artifact {artifact.digest}, {artifact.size} bytes")
        click.echo(f"prove it: muster build {target} --verify")

    written = {"release": made.name, "file": str(target), "artifact": artifact.digest, "size": artifact.size}
    emit(written, output, text)


def _draft(store: Store, given: dict[str, Any]) -> Draft:
    from muster.build.declarations import read_cohorts, read_device_classes, read_value
    from muster.build.new_release import DEFAULT_RECIPE, Draft
    from muster.kinds.recipe import Recipe
    from muster.kinds.release import Inference, Lineage

    repository, classes = given["repository"], read_device_classes(given["repository"])
    wanted = [name.strip() for name in given["runtime"].split(",")]
    if unknown := [name for name in wanted if name not in classes]:
        raise Unusable(f"no such device class: {', '.join(unknown)}", f"declared: {', '.join(classes) or 'none'}")
    return Draft(
        model=given["model"],
        version=given["version"],
        tier=given["tier"],
        supersedes=given["supersedes"],
        source=_stored(store, given["source"]),
        lineage=read_value(given["lineage"], Lineage),
        recipe=read_value(given["recipe"], Recipe) if given["recipe"] else DEFAULT_RECIPE,
        calibration=_stored(store, given["calibration"]),
        evaluation=_stored(store, given["evaluation"]),
        golden=_stored(store, given["golden"]),
        tolerance=_tolerance(given["tolerance"]),
        inference=read_value(given["inference"], Inference),
        builder=_builder(repository, given["lock"]),
        device_classes=[classes[name] for name in wanted],
        cohorts=[cohort.metadata.name for cohort in read_cohorts(repository)],
    )


def _tolerance(text: str) -> Decimal:
    from muster.kinds.quantity import parse_decimal

    try:
        return parse_decimal(text)
    except ValueError as error:
        raise Unusable(f"--tolerance: {error}") from error


def _builder(repository: Path, lock: str) -> Builder:
    from muster.build.declarations import read_bounded
    from muster.build.environment import MAX_LOCK
    from muster.kinds.digest import digest_of
    from muster.kinds.release import Builder

    try:
        # The path is checked before anything is read from it.
        builder = Builder(lock=lock, digest=digest_of(b""))
    except ValueError as error:
        raise Unusable(f"--lock: {lock!r} is no lock of a builder", "name builders/<name>.lock") from error
    return builder.model_copy(update={"digest": digest_of(read_bounded(repository, lock, MAX_LOCK))})


def _stored(store: Store, given: str) -> str:
    """The digest of an object: given as such, or of a file that is put into the store."""
    from muster.artifacts.store import MAX_OBJECT
    from muster.build.declarations import read_bounded

    if given.startswith("sha256:"):
        return given
    path = Path(given)
    return store.put(read_bounded(path.parent, path.name, MAX_OBJECT))
