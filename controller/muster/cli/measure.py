"""`muster measure`: run an artifact as a device class would, and sign what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from muster.cli.build_progress import build_progress
from muster.cli.builder_environment import environment_options
from muster.cli.evidence_work import Work, making
from muster.cli.output import emit, table
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.attest.keyless_signing import KeylessSigner
    from muster.build.measuring.subject import Subject
    from muster.kinds.device_class import DeviceClass
    from muster.kinds.evidence import Measurement
    from muster.kinds.release import Release

_FILE = click.Path(dir_okay=False, path_type=Path)
_Kind = Literal["native", "emulated", "reference", "soak"]


@click.command()
@making
@click.option("--class", "--device-class", "device_class", help="Measure as a device of that class would run it.")
@click.option("--cpu", help="With --class: answer with the instructions of that CPU, and measure nothing else.")
@click.option("--soak", help='With --class: run for that long, such as "1h", and see that answers hold.')
@click.option("--job", type=_FILE, help="With --class: write what a reference device is to run, and measure nothing.")
@click.option("--from", "record", type=_FILE, help="With --class: take what a reference device recorded of that job.")
@environment_options(default="any")
def measure(output: str, **given: Any) -> None:
    """Measure RELEASE, beside its source model and the release that it supersedes.

    An artifact that is not in the store is built first.

    Without --class: accuracy, slices, fairness, robustness, sizes, cost and snapshots, into measurement.json. Slices
    are declared by the evaluation snapshot: tensors `slice_NAME`, which say for each frame whether it belongs there;
    two more are cut by brightness.

    With it, on this machine: latency, load time, peak RAM, and the provider that runs each node, into
    measurement-CLASS.json. Times made here count as ratios to the other artifacts, which took turns in the same run.
    If the class declares a `cpu`, answers are measured with that CPU's instructions, under qemu-user, into
    measurement-CLASS-emulated.json; if not, here. With --soak, how long answers held, into soak-CLASS.json.

    On a reference device: `--job FILE` here, `muster agent measure FILE` there, and `--from RECORD` here again, into
    measurement-CLASS-reference.json.
    """
    from muster.build.measuring.subject import load_subject
    from muster.kinds.evidence import MEASUREMENT

    wanted = _Wanted.of(given)
    work = Work.of(given, signs=wanted.job is None)
    with build_progress(output) as reporter:
        subject = load_subject(
            work.release, work.superseded(), work.store, work.lock, reporter, how=lambda: work.run(given)
        )
    if wanted.job is not None:
        _write_job(wanted.job, subject, _declared(work, wanted.device_class), work.superseded(), output)
        return
    made = []
    for kind, measured in _measured(work, subject, wanted):
        predicate = measured.model_dump(mode="json", exclude_none=True)
        path = work.write(_name(given["name"], kind, wanted.device_class), MEASUREMENT, predicate)
        made.append({"file": str(path), "predicate": predicate})
        if output == "text":
            _show_measurement(path, measured)
    emit({"measurements": made}, output, lambda: None)


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, which makes sense together. `soak` in µs."""

    device_class: str | None
    cpu: str | None
    soak: int
    job: Path | None
    record: Path | None

    @classmethod
    def of(cls, given: dict[str, Any]) -> _Wanted:
        """Raises `Unusable`."""
        asked = [name for name in ("cpu", "soak", "job", "record") if given[name]]
        if asked and not given["device_class"]:
            option = {"record": "from"}.get(asked[0], asked[0])
            raise Unusable(f"--{option} says nothing without --class", "say what kind of device is measured")
        if len(asked) > 1:
            raise Unusable("--cpu, --soak, --job and --from are different measurements", "give one of them at a time")
        return cls(given["device_class"], given["cpu"], _duration(given["soak"]), given["job"], given["record"])


def _measured(work: Work, subject: Subject, wanted: _Wanted) -> Iterator[tuple[_Kind, Measurement]]:
    from muster.build.measuring.machine import this_machine
    from muster.build.measuring.measurement import measure_anywhere

    now = datetime.now(UTC)
    if wanted.device_class is None:
        yield "native", measure_anywhere(subject, _package_size(subject, work.key), this_machine(), now)
        return
    declared = _declared(work, wanted.device_class)
    if wanted.record is not None:
        yield _recorded(work, subject, declared, wanted.record)
        return
    cpu = _cpu(declared, wanted.cpu)
    if wanted.cpu is None:
        yield _here(work, subject, declared, wanted.soak)
    if cpu is not None and not wanted.soak:
        yield "emulated", _emulated(work, subject, declared, cpu)


def _here(work: Work, subject: Subject, declared: DeviceClass, soak: int) -> tuple[_Kind, Measurement]:
    import time

    from muster.artifacts.timing import Effort
    from muster.build.measuring.machine import this_machine
    from muster.build.measuring.measurement import OnDevice, measure_on_device

    device = OnDevice(declared, work.superseded(), time.perf_counter_ns, Effort(), soak)
    measured = measure_on_device(subject, device, this_machine(), datetime.now(UTC))
    return ("soak" if soak else "native"), measured


def _cpu(declared: DeviceClass, asked: str | None) -> str | None:
    own = declared.spec.cpu
    if own is not None and asked not in (None, own):
        raise Unusable(f"{declared.metadata.name} has {own}, not {asked[:64]!a}", "leave --cpu out")
    return asked or own


def _emulated(work: Work, subject: Subject, declared: DeviceClass, cpu: str) -> Measurement:
    from muster.build.measuring.emulated import EmulatedCpu
    from muster.build.measuring.machine import this_machine
    from muster.build.measuring.measurement import measure_emulated

    try:
        there = EmulatedCpu.of(cpu, this_machine())
    except Unusable as error:
        raise Unusable(
            f"how {declared.metadata.name} answers with the instructions of {cpu} was not measured: {error.message}",
            f"{error.hint}; or let a reference device measure: --job",
        ) from error
    return measure_emulated(subject, declared, work.superseded(), there, datetime.now(UTC))


def _recorded(work: Work, subject: Subject, declared: DeviceClass, path: Path) -> tuple[_Kind, Measurement]:
    from muster.build.declarations import read_bounded
    from muster.build.measuring.from_device import measure_from_record, read_record
    from muster.kinds.device_record import LARGEST_RECORD

    record = read_record(read_bounded(path.parent, path.name, LARGEST_RECORD))
    measured = measure_from_record(subject, declared, work.superseded(), record, datetime.now(UTC))
    return ("soak" if record.soak else "reference"), measured


def _write_job(path: Path, subject: Subject, declared: DeviceClass, superseded: Release | None, output: str) -> None:
    from muster.artifacts.durable import write_durably
    from muster.build.measuring.from_device import job_of
    from muster.kinds.digest import digest_of

    job = job_of(subject, declared, superseded)
    write_durably(path, job)
    digest = digest_of(job)

    def text() -> None:
        click.echo(f"wrote {path}; on a reference device of {declared.metadata.name}:")
        click.echo(f"muster agent measure {path.name} --digest {digest} --folder FOLDER --out RECORD")

    emit({"file": str(path), "digest": digest}, output, text)


def _declared(work: Work, name: str | None) -> DeviceClass:
    from muster.build.declarations import read_device_classes

    classes = read_device_classes(work.folder)
    if name not in classes:
        raise Unusable(f"no such device class: {name}", f"declared: {', '.join(classes) or 'none'}")
    return classes[name]


def _name(given: str | None, kind: _Kind, device_class: str | None) -> str:
    suffix = None if kind in ("native", "soak") else kind
    start = given or "-".join(filter(None, ("soak" if kind == "soak" else "measurement", device_class)))
    # A name of the caller's is that of what this machine measured; the other file that is made needs one too.
    return "-".join(filter(None, (start, suffix)))


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
    rows = []
    for result in measured.results:
        beside = {baseline.of: f"{baseline.value.normalize():f}" for baseline in result.baselines}
        where = result.slice or result.device_class or "-"
        values = (f"{result.value.normalize():f}", beside.get("source", "-"), beside.get("superseded", "-"))
        rows.append((result.metric, where, *values, result.samples if result.samples is not None else "-"))
    table(("METRIC", "SLICE OR CLASS", "VALUE", "SOURCE", "SUPERSEDED", "SAMPLES"), rows)
    click.echo(f"wrote {path}")
