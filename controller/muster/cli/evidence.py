"""`muster evidence`: make the signed statements that gates read, and say what such a file claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli.build_progress import build_progress
from muster.cli.builder_environment import environment_options, process_in, run_in, vary_option
from muster.cli.evidence_package import document, export, verify_archives
from muster.cli.keyless import read_signer, signer_options, tag_of, trusted_signers
from muster.cli.output import emit, output_option, state_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.artifacts.store import Store
    from muster.attest.keyless_signing import KeylessSigner
    from muster.build.hermetic.run import HermeticRun
    from muster.build.measuring.subject import Subject
    from muster.build.pipeline import RunStages
    from muster.kinds.evidence import Evidence, Measurement
    from muster.kinds.release import Release

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PEM = click.Path(dir_okay=False, path_type=Path)


@click.group()
def evidence() -> None:
    """Make the signed statements that gates read, and say what such a file claims.

    Files go to evidence/<digest of the artifact>/ of the release's repository, for you to commit. A key is made by
    `muster keys new NAME --use evidence`, and counts once its declaration is merged.
    """


evidence.add_command(export)
evidence.add_command(document)


def _making(command: _Command) -> _Command:
    """Argument and options of every verb that makes evidence."""
    for option in (
        output_option,
        state_option,
        click.option("--name", help="Name of the file; by default what it holds."),
        *signer_options,
        click.argument("release"),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class _Work:
    """A release with all that making evidence about it needs. `folder` is its repository's work tree."""

    folder: Path
    release: Release
    store: Store
    lock: bytes
    key: bytes | KeylessSigner

    @classmethod
    def of(cls, given: dict[str, Any]) -> _Work:
        """Read it all. Raises `Refused`, `Unusable`."""
        from muster.artifacts.store import Store
        from muster.build.declarations import locate_release, read_bounded, read_release
        from muster.build.environment import MAX_LOCK

        signer = read_signer(given)
        folder, path = locate_release(given["release"], Path.cwd())
        declared = read_release(folder, path)
        lock = read_bounded(folder, declared.spec.builder.lock, MAX_LOCK)
        return cls(folder, declared, Store(Path(given["state"]) / "store"), lock, signer)

    def run(self, given: dict[str, Any]) -> RunStages | None:
        """How the stages run: see `environment_options`."""
        state = self.store.folder.parent
        return run_in(given, self.release.spec.builder, self.lock, state)

    def process(self, given: dict[str, Any]) -> HermeticRun:
        """As `run`, in a process of its own."""
        return process_in(given, self.release.spec.builder, self.lock, self.store.folder.parent)

    def superseded(self) -> Release | None:
        """The release that this one comes after, if its file is there."""
        from muster.build.declarations import read_release

        path = f"releases/{self.release.model}/{self.release.spec.supersedes}.yaml"
        return read_release(self.folder, path) if (self.folder / path).is_file() else None

    def write(
        self,
        name: str,
        predicate_type: str,
        predicate: dict[str, Any],
        *,
        also: Release | None = None,
        anew: bool = True,
    ) -> Path:
        """Sign the predicate, about this release (and another), into the file of that name.

        Raises `Refused` if the file is there and may not be made anew.
        """
        from muster.artifacts.durable import write_durably
        from muster.attest.evidence import evidence_path, sign_evidence

        artifact = self.release.spec.artifact.digest
        path = self.folder / evidence_path(artifact, name)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise Refused(f"{path} leads out of the repository", "remove the symbolic link")
        if not anew and path.exists():
            raise Refused(f"{path} is there already, and stays", "choose another --name")
        about = {item.name: item.spec.artifact.digest for item in (self.release, also) if item is not None}
        write_durably(path, sign_evidence(about, predicate_type, predicate, self.key))
        return path


@evidence.command()
@_making
@click.option("--device-class", help="Say that this machine is a device of that class, and measure how it runs here.")
@click.option(
    "--cpu",
    help="With --device-class: answer with the instructions of that CPU, emulated; Haswell has AVX2 and no VNNI.",
)
@click.option("--soak", help='With --device-class: run for that long, such as "1h", and see that answers hold.')
def measure(output: str, **given: Any) -> None:
    """Measure RELEASE, beside its source model and the release that it supersedes.

    Without --device-class: accuracy, slices, fairness, robustness, sizes, cost and snapshots, into measurement.json.
    Slices are declared by the evaluation snapshot: tensors `slice_NAME`, which say for each frame whether it belongs
    there; two more are cut by brightness.

    With it: all of accuracy again, latency, load time, peak RAM and the provider that really computes, into
    measurement-CLASS.json; or, with --soak, how long answers held, into soak-CLASS.json; or, with --cpu, what is
    accuracy alone, with the instructions of that CPU, into measurement-CLASS-emulated.json.
    """
    from muster.build.measuring.machine import this_machine
    from muster.build.measuring.subject import load_subject
    from muster.kinds.evidence import MEASUREMENT

    device_class, soak, cpu = given["device_class"], _duration(given["soak"]), given["cpu"]
    if (soak or cpu) and not device_class:
        raise Unusable("--soak and --cpu say nothing without --device-class", "say what kind of device is measured")
    if soak and cpu:
        raise Unusable("--soak says nothing on an emulated CPU", "soak on a device of the class")
    work = _Work.of(given)
    with build_progress(output) as reporter:
        subject = load_subject(work.release, work.superseded(), work.store, work.lock, reporter)
    if device_class:
        measured = _on_device(work, subject, device_class, (soak, cpu))
    else:
        from muster.build.measuring.measurement import measure_anywhere

        measured = measure_anywhere(subject, _package_size(subject, work.key), this_machine(), datetime.now(UTC))
    kind = "soak" if soak else "measurement"
    name = given["name"] or "-".join(filter(None, (kind, device_class, "emulated" if cpu else None)))
    predicate = measured.model_dump(mode="json", exclude_none=True)
    path = work.write(name, MEASUREMENT, predicate)
    emit({"file": str(path), "predicate": predicate}, output, lambda: _show_measurement(path, measured))


@evidence.command()
@_making
@environment_options(default="any")
@click.option("--builder", help="URI of whoever builds; muster:builder/local by default.")
def provenance(output: str, builder: str | None, **given: Any) -> None:
    """Build RELEASE without the cache, and record what went in: SLSA Provenance v1, into provenance.json."""
    from muster.attest.provenance import LOCAL_BUILDER, provenance_of
    from muster.build.measuring.machine import this_machine
    from muster.build.pipeline import build_release
    from muster.kinds.evidence import PROVENANCE

    work = _Work.of(given)
    started = datetime.now(UTC)
    with build_progress(output) as reporter:
        run = work.run(given)
        result = build_release(work.release, work.store, work.lock, cached=False, reporter=reporter, run=run)
    if result.difference is not None:
        raise Refused(
            f"{work.release.name} does not build to what it pins: {result.difference} differs",
            f"see where: muster build {work.release.path} --verify",
        )
    ran = started, datetime.now(UTC)
    predicate = provenance_of(work.release, result, ran, builder or LOCAL_BUILDER, this_machine())
    path = work.write(given["name"] or "provenance", PROVENANCE, predicate)
    emit({"file": str(path), "predicate": predicate}, output, lambda: click.echo(f"wrote {path}"))


@evidence.command()
@_making
@vary_option
@environment_options(default="lock")
def rebuild(output: str, **given: Any) -> int:
    """Build RELEASE again, compare every output with its pin, and record how it came out.

    What comes out as it is pinned is built again in other circumstances, and is BAD if that makes a difference. Each
    rebuild is a file of its own, and none is replaced. Exits 0 for GOOD, 1 for BAD, 2 for UNKNOWN.
    """
    from muster.build.measuring.machine import this_machine
    from muster.build.rebuild import rebuild_release, vary
    from muster.cli.build_vary import tell_variation
    from muster.kinds.evidence import REBUILD

    work, now = _Work.of(given), datetime.now(UTC)
    with build_progress(output) as reporter:
        about, run = (this_machine(), now), work.run(given)
        outcome = rebuild_release(work.release, work.store, work.lock, about, reporter=reporter, run=run)
        if given["vary"]:
            outcome = vary(outcome, work.release, work.store, work.process(given), tell_variation)
    signer = tag_of(work.key)
    predicate = outcome.rebuild.model_dump(mode="json", exclude_none=True)
    path = work.write(given["name"] or f"rebuild-{now:%Y%m%dt%H%M%Sz}-{signer}", REBUILD, predicate, anew=False)

    def text() -> None:
        click.echo(
            f"{outcome.rebuild.verdict} at {outcome.rebuild.level}: {outcome.reason or 'every output is its pin'}"
        )
        click.echo(f"wrote {path}")

    emit({"file": str(path), "predicate": predicate, "reason": outcome.reason}, output, text)
    return {"GOOD": 0, "BAD": 1}.get(outcome.rebuild.verdict, 2)


@evidence.command()
@_making
@click.option("--back-to", help="The release to go back to, MODEL/VERSION; by default the superseded one.")
def rehearsal(output: str, back_to: str | None, **given: Any) -> int:
    """Send RELEASE out to simulated devices, halt it, and see that every one comes back; into rehearsal.json.

    The planner is the real one, with the work tree's classes, cohorts and tiers. What it cannot show: that a board
    boots the older artifact. Exits 0 if every device came back, 1 if not.
    """
    from muster.kinds.evidence import REHEARSAL, Rehearsal
    from muster.kinds.moment import utc_text
    from muster.simulate.rehearsal import rehearse
    from muster.source.load import Loader

    work, now = _Work.of(given), datetime.now(UTC)
    spec, name = work.release.spec, work.release.name
    if back_to is None and spec.supersedes is None:
        raise Unusable(f"{name} supersedes nothing", "say where to go back to: --back-to MODEL/VERSION")
    target = back_to or f"{work.release.model}/{spec.supersedes}"
    declared = Loader().work_tree(work.folder).fleet_or_refuse(str(work.folder))
    rehearsed = rehearse(declared, name, target, now)
    predicate = Rehearsal(
        release=name, back_to=target, rehearsed_at=utc_text(now), where="simulator", returned=rehearsed.returned
    ).model_dump(mode="json")
    older = declared.release(target)
    path = work.write(given["name"] or "rehearsal", REHEARSAL, predicate, also=older)

    def text() -> None:
        click.echo("\n".join(rehearsed.transcript))
        click.echo(f"wrote {path}")

    emit({"file": str(path), "predicate": predicate, "transcript": list(rehearsed.transcript)}, output, text)
    return 0 if rehearsed.returned else 1


@evidence.command()
@click.argument("files", nargs=-1, required=True, type=_PEM)
@click.option("--key", "key_files", type=_PEM, multiple=True, help="A public key in PEM to trust; may be repeated.")
@click.option(
    "--repository",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="Without --key: the repository whose keys and identities with use `evidence` are trusted.",
)
@click.option("--revision", default="HEAD", show_default=True, help="The commit whose keys are trusted.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="FILES are archives of `muster evidence export`; all that is trusted is this public key, or folder of keys.",
)
@click.option("--max-age", help='With --root: how long ago a package may have been made as of, such as "30d".')
@output_option
def verify(
    files: tuple[Path, ...], key_files: tuple[Path, ...], root: Path | None, max_age: str | None, **options: str
) -> int:
    """Say what each of FILES claims, and whether it is believed; with --root, verify whole archives.

    Exits 0 if all are believed, 1 if one is not, 2 if one cannot be read.
    """
    if root is not None:
        return verify_archives(files, root, max_age, options["output"])
    if max_age is not None:
        raise Unusable("--max-age says nothing without --root", "the age of evidence is for gates to judge")
    from muster.attest.evidence import read_evidence
    from muster.build.declarations import read_bounded
    from muster.kinds.evidence import LARGEST

    keys, keyless = trusted_signers(key_files, options["repository"], options["revision"])
    found = [read_evidence(str(path), read_bounded(path.parent, path.name, LARGEST), keys, keyless) for path in files]
    value = [_claim(item) for item in found]
    emit(value, options["output"], lambda: _show_claims(value))
    return 0 if all(item.problem is None for item in found) else 1


def _claim(found: Evidence) -> dict[str, Any]:
    return {
        "file": found.path,
        "believed": found.problem is None,
        "problem": found.problem,
        "problemKind": found.problem_kind,
        "signer": found.signer,
        "subjects": list(found.subjects),
        "predicateType": found.predicate_type,
        "madeAt": found.made_at.isoformat() if found.made_at else None,
        "release": found.predicate.get("release") if isinstance(found.predicate, dict) else None,
    }


def _show_claims(claims: list[dict[str, Any]]) -> None:
    from muster.source.git_program import printable

    for claim in claims:
        verdict = "believed" if claim["believed"] else f"not believed ({claim['problemKind']}): {claim['problem']}"
        click.echo(f"{printable(claim['file'])}: {verdict}")
        for name in ("predicateType", "release", "madeAt", "signer"):
            if claim[name]:
                click.echo(f"  {name}: {printable(str(claim[name])[:200])}")
        for subject in claim["subjects"]:
            click.echo(f"  subject: {subject}")


def _on_device(work: _Work, subject: Subject, name: str, how: tuple[int, str | None]) -> Measurement:
    """`how`: for how long to soak, in µs, and on which emulated CPU to answer."""
    import time

    from muster.build.declarations import read_device_classes
    from muster.build.measuring.machine import this_machine
    from muster.build.measuring.measurement import OnDevice, measure_on_device
    from muster.build.measuring.speed import Effort

    classes = read_device_classes(work.folder)
    if name not in classes:
        raise Unusable(f"no such device class: {name}", f"declared: {', '.join(classes) or 'none'}")
    soak, cpu = how
    if cpu:
        from muster.build.measuring.emulated import EmulatedCpu
        from muster.build.measuring.measurement import measure_emulated

        there = EmulatedCpu.of(cpu, this_machine())
        return measure_emulated(subject, classes[name], work.superseded(), there, datetime.now(UTC))
    device = OnDevice(classes[name], work.superseded(), time.perf_counter_ns, Effort(), soak)
    return measure_on_device(subject, device, this_machine(), datetime.now(UTC))


def _package_size(subject: Subject, signer: bytes | KeylessSigner) -> Any:
    """What a device downloads for a release: the artifact, and the signature over its files, which is by a key."""
    from decimal import Decimal

    from muster.attest.artifact_files import files_of_bundle
    from muster.attest.keys import new_private_key
    from muster.attest.model_signature import sign_files
    from muster.kinds.evidence import Result

    key = signer if isinstance(signer, bytes) else new_private_key()
    signature = sign_files(files_of_bundle(subject.bundle), key)
    return Result(metric="package-size", value=Decimal(len(subject.bundle) + len(signature)))


def _duration(text: str | None) -> int:
    from muster.kinds.quantity import parse_duration

    try:
        return parse_duration(text) if text else 0
    except ValueError as error:
        raise Unusable(f"--soak: {error}", 'write "1h" or "10m"') from error


def _show_measurement(path: Path, measured: Measurement) -> None:
    from muster.cli.output import table

    rows = []
    for result in measured.results:
        beside = {baseline.of: f"{baseline.value.normalize():f}" for baseline in result.baselines}
        where = result.slice or result.device_class or "-"
        values = (f"{result.value.normalize():f}", beside.get("source", "-"), beside.get("superseded", "-"))
        rows.append((result.metric, where, *values, result.samples if result.samples is not None else "-"))
    table(("METRIC", "SLICE OR CLASS", "VALUE", "SOURCE", "SUPERSEDED", "SAMPLES"), rows)
    click.echo(f"wrote {path}")
