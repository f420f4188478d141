"""`muster rebuild`: one rebuilder, with a key of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.builder_environment import environment_options, run_in, vary_option
from muster.cli.output import emit, output_option, state_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.attest.rebuild_desk import Bench
    from muster.build.hermetic.run import HermeticRun
    from muster.build.rebuilding.rebuilder import Done, Rebuilder
    from muster.kinds.release import Release
    from muster.source.git import Repository


@click.command()
@click.argument("releases", nargs=-1)
@click.option(
    "--key",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The private key that signs, in PEM: another one than that of whoever builds.",
)
@click.option("--repository", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True)
@click.option("--revision", default="HEAD", show_default=True, help="The commit whose releases are rebuilt.")
@click.option("--commit", is_flag=True, help="Commit each verdict, to the branch that is checked out.")
@click.option("--branch", help="Commit each verdict to this branch, and take releases from its tip.")
@click.option("--cpu", help="Build on an emulated CPU, such as Nehalem: see qemu-x86_64 -cpu help.")
@click.option("--once", is_flag=True, help="Take what is due, and end. So it is where RELEASES are named.")
@click.option("--every", type=click.IntRange(1, 86_400), default=300, show_default=True, help="Seconds between looks.")
@click.option(
    "--attempts",
    type=click.IntRange(1, 100),
    default=6,
    show_default=True,
    help="After so many failures in a row UNKNOWN is published.",
)
@vary_option
@environment_options(default="lock")
@state_option
@output_option
def rebuild(output: str, **given: Any) -> int:
    """Build every release again that has no verdict of this key yet, and publish how it came out.

    The newest releases come first, and of those the widest. What could not be told is tried again, after longer and
    longer. Verdicts go to evidence/<digest of the artifact>/ of the work tree, for you to commit, or with --commit or
    --branch to a branch, for you to push. What comes out as it is pinned is built again in other circumstances, unless
    --no-vary or --cpu says otherwise, and is BAD if that makes a difference. GOOD and BAD stay: nothing is rebuilt
    twice, unless an emulated CPU does it after a real one.

    With --once: exits 0 if all that was taken is GOOD, 1 if something is BAD, 2 if something could not be told.
    """
    once = given["once"] or bool(given["releases"])
    if not once and output != "text":
        raise Unusable(f"-o {output} is one value, and this never ends", "add --once")
    from muster.build.rebuilding.attempts import alone

    rebuilder = _rebuilder(given, _told if output == "text" else lambda _: None)
    with alone(rebuilder.attempts.path):
        if not once:
            rebuilder.forever(given["every"])
        done = rebuilder.once()
    # For people each was told as it came.
    emit([_entry(one) for one in done], output, lambda: None if done else click.echo("nothing is due"))
    verdicts = {one.verdict for one in done}
    return 1 if "BAD" in verdicts else 2 if verdicts - {"GOOD"} else 0


def _rebuilder(given: dict[str, Any], told: Any) -> Rebuilder:
    import time

    from muster.attest.keys import key_id, public_half, read_signing_key
    from muster.attest.rebuild_desk import RepositoryDesk
    from muster.attest.rebuild_verdicts import Verdicts
    from muster.build.rebuilding.attempts import Attempts, Patience
    from muster.build.rebuilding.rebuilder import Rebuilder
    from muster.kinds.digest import hex_of
    from muster.source.git import Repository

    key = read_signing_key(given["key"])
    bench = _bench(given)
    source = Repository(given["repository"])
    branch = given["branch"] or (_checked_out(source) if given["commit"] else None)
    if branch is None and source.bare:
        raise Unusable(f"{source.path} has no work tree to write to", "say where to commit: --branch NAME")
    desk = RepositoryDesk(
        Verdicts(source, branch, key),
        bench,
        lambda: datetime.now(UTC),
        f"refs/heads/{branch}" if branch else given["revision"],
        tuple(name.removeprefix("releases/").removesuffix(".yaml") for name in given["releases"]),
    )
    # Each identity on each CPU has a queue of its own.
    queue = hex_of(key_id(public_half(key)))[:16] + (f"-{given['cpu']}" if given["cpu"] else "")
    attempts = Attempts(Path(given["state"]) / "rebuilder" / f"{queue}.json")
    patience = Patience(attempts=given["attempts"])
    return Rebuilder(desk, attempts, patience, desk.clock, time.sleep, told)


def _bench(given: dict[str, Any]) -> Bench:
    from muster.artifacts.store import Store
    from muster.attest.rebuild_desk import Bench
    from muster.build.emulation import emulated, emulator
    from muster.build.hermetic.process import Circumstances
    from muster.build.measuring.machine import this_machine

    state, machine, cpu = Path(given["state"]), this_machine(), given["cpu"]
    around = Circumstances(emulator=emulator(cpu) if cpu else ())

    def run(release: Release, lock: bytes) -> HermeticRun:
        return replace(run_in(given, release.spec.builder, lock, state), circumstances=around)

    return Bench(
        Store(state / "store"),
        emulated(machine, cpu) if cpu else machine,
        run,
        emulated_on=machine if cpu else None,
        varies=given["vary"] and not cpu,
    )


def _checked_out(source: Repository) -> str:
    branch = source.branch()
    if branch is None:
        raise Refused("HEAD is not on a branch", "git switch to the branch that verdicts go to, or say --branch NAME")
    return branch


def _entry(one: Done) -> dict[str, Any]:
    return {
        "release": one.release,
        "verdict": one.verdict,
        "level": one.level,
        "reason": one.reason,
        "where": one.where,
        "again": one.again.isoformat() if one.again else None,
    }


def _told(one: Done) -> None:
    from muster.source.git_program import printable

    if one.verdict:
        click.echo(f"{one.release}: {one.verdict} at {one.level}: {printable(one.reason)}")
        click.echo(f"  wrote {one.where}")
        return
    again = f", again at {one.again:%Y-%m-%dT%H:%M:%SZ}" if one.again else ""
    click.echo(f"{one.release}: could not tell{again}: {printable(one.reason)}")
