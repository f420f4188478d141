"""`muster evidence`: make the signed statements that gates read, and say what such a file claims."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.build_progress import build_progress
from muster.cli.builder_environment import environment_options, vary_option
from muster.cli.evidence_package import document, export, verify_archives
from muster.cli.evidence_work import Work, making
from muster.cli.keyless import tag_of, trusted_signers
from muster.cli.measure import measure
from muster.cli.output import emit, output_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.kinds.evidence import Evidence

_PEM = click.Path(dir_okay=False, path_type=Path)


@click.group()
def evidence() -> None:
    """Make the signed statements that gates read, and say what such a file claims.

    Files go to evidence/<digest of the artifact>/ of the release's repository, for you to commit. A key is made by
    `muster keys new NAME --use evidence`, and counts once its declaration is merged.
    """


evidence.add_command(export)
evidence.add_command(document)
evidence.add_command(measure)


@evidence.command()
@making
@environment_options(default="any")
@click.option("--builder", help="URI of whoever builds; muster:builder/local by default.")
def provenance(output: str, builder: str | None, **given: Any) -> None:
    """Build RELEASE without the cache, and record what went in: SLSA Provenance v1, into provenance.json."""
    from muster.attest.provenance import LOCAL_BUILDER, provenance_of
    from muster.build.measuring.machine import this_machine
    from muster.build.pipeline import build_release
    from muster.kinds.evidence import PROVENANCE

    work = Work.of(given)
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
@making
@vary_option
@environment_options(default="lock")
def rebuild(output: str, **given: Any) -> int:
    """Build RELEASE again, compare every output with its pin, and record how it came out.

    What comes out as it is pinned is built again in other circumstances, and is BAD if that makes a difference. Each
    rebuild is a file of its own, and none is replaced. Beside a GOOD one lies its provenance. Exits 0 for GOOD, 1 for
    BAD, 2 for UNKNOWN.
    """
    from muster.attest.provenance import rebuild_provenance_of
    from muster.attest.rebuild_verdicts import statements_of_verdict, verdict_name
    from muster.build.measuring.machine import this_machine
    from muster.build.rebuild import rebuild_release, vary
    from muster.cli.build_vary import tell_variation

    work, now = Work.of(given), datetime.now(UTC)
    with build_progress(output) as reporter:
        about, run = (this_machine(), now), work.run(given)
        outcome = rebuild_release(work.release, work.store, work.lock, about, reporter=reporter, run=run)
        if given["vary"]:
            outcome = vary(outcome, work.release, work.store, run, tell_variation)
    said = None
    if outcome.result is not None:
        ran = now, datetime.now(UTC)
        said = rebuild_provenance_of(work.release, outcome.result, ran, outcome.rebuild, about[0])
    name = given["name"] or verdict_name(now, tag_of(work.key))
    statements = statements_of_verdict(name, outcome.rebuild, said)
    path, (_, predicate) = work.write_once(statements), statements[name]

    def text() -> None:
        click.echo(
            f"{outcome.rebuild.verdict} at {outcome.rebuild.level}: {outcome.reason or 'every output is its pin'}"
        )
        click.echo(f"wrote {path}")

    emit({"file": str(path), "predicate": predicate, "reason": outcome.reason}, output, text)
    return {"GOOD": 0, "BAD": 1}.get(outcome.rebuild.verdict, 2)


@evidence.command()
@making
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

    work, now = Work.of(given), datetime.now(UTC)
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
