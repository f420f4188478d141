"""`muster simulate`: play scenarios with devices that are not there, and compare policies."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, output_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.kinds.fleet import AnyResource
    from muster.kinds.policy import Policy, TierName
    from muster.kinds.scenario import Scenario
    from muster.simulate.scenario.play import Played

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("scenarios", nargs=-1, required=True, type=_FILE)
@click.option("--policy", type=_FILE, help="The policy to play with; policy.yaml beside the scenario unless named.")
@click.option("--tier", type=click.Choice(["research", "production", "regulated"]), default="production")
@click.option("--devices", type=click.IntRange(100, 20_000_000), help="So many devices instead of the declared number.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Another seed than the declared one.")
@click.option("--alone", is_flag=True, help="Muster alone, without the policies that users have today.")
@click.option("--page", type=_FILE, help="Write the tables between the markers of this page.")
@output_option
def simulate(scenarios: tuple[Path, ...], output: str, **options: Any) -> int:
    """Play SCENARIOS in virtual time with the real planner, beside the policies that users have today.

    Exit 1: in some scenario, Muster halts what does no harm, does not halt what does, or harms no fewer than another.
    """
    import time

    from muster.simulate.scenario.play import MUSTER, POLICIES, play_all

    read = [_changed(_read(path, "Scenario"), options) for path in scenarios]
    policy = _read(options["policy"] or scenarios[0].parent / "policy.yaml", "Policy")
    tier: TierName = options["tier"]
    described = {one.metadata.name: one.metadata.description or "" for one in read}
    played, began = [], time.monotonic()
    for one in play_all(read, policy, tier, (MUSTER,) if options["alone"] else POLICIES):
        played.append(one)
        seconds, began = time.monotonic() - began, time.monotonic()
        click.echo(f"{one.name}: {seconds:.0f} s", err=True)
        if options["page"]:
            # After each: whoever ends a long run keeps what it measured.
            _write(options["page"], one, described[one.name], _measured(one, policy, seconds))
    emit([_body(one) for one in played], output, lambda: _show(played))
    return 1 if any(one.complaints for one in played) else 0


def _read(path: Path, kind: str) -> Any:
    from muster.kinds.fleet import KINDS
    from muster.source.validate import validate
    from muster.source.yaml_events import MAX_BYTES, YamlFault, parse

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        found: AnyResource | list[Any] = validate(str(path), KINDS[kind], parse(data))
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}", f"name a file of kind {kind}") from error
    except YamlFault as fault:
        raise Unusable(f"{path}:{fault.spot[0]}:{fault.spot[1]}: {fault.message}", fault.hint) from fault
    if isinstance(found, list):
        first = found[0]
        place = f"{first.place.file}:{first.place.line}:{first.place.column}"
        more = f" (and {len(found) - 1} more complaints)" if len(found) > 1 else ""
        raise Unusable(f"{place}: {first.message}{more}", first.hint)
    return found


def _changed(scenario: Scenario, options: dict[str, Any]) -> Scenario:
    update = {name: options[name] for name in ("devices", "seed") if options[name] is not None}
    return scenario.model_copy(update={"spec": scenario.spec.model_copy(update=update)})


def _body(one: Played) -> dict[str, Any]:
    return {
        "scenario": one.name,
        "devices": one.spec.devices,
        "seed": one.spec.seed,
        "holds": not one.complaints,
        "complaints": one.complaints,
        "outcomes": [asdict(item) for item in one.outcomes],
        "events": {name: list(lines) for name, lines in one.lines.items()},
    }


def _show(played: list[Played]) -> None:
    from muster.cli.output import table
    from muster.simulate.scenario.page import COLUMNS, row

    for one in played:
        click.echo(f"{one.name}: {one.spec.devices:,} simulated devices, seed {one.spec.seed}")
        table(COLUMNS, [row(item) for item in one.outcomes])
        for said in one.complaints:
            click.echo(f"  does not hold: {said}")


def _measured(one: Played, policy: Policy, seconds: float) -> str:
    """What a table was measured with; the policy by its content."""
    import resource

    from muster.kinds.canonical import canonical_json
    from muster.kinds.digest import digest_of

    gibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    digest = digest_of(canonical_json(policy.model_dump(mode="json")))
    return (
        f"{one.spec.devices:,} simulated devices, seed {one.spec.seed}, "
        f"policy `{policy.metadata.name}` ({digest[:19]}…); "
        f"{seconds / 60:.0f} minutes in one process with {gibibytes:.1f} GiB at most."
    )


def _write(page: Path, one: Played, description: str, measured: str) -> None:
    from muster.artifacts.durable import write_durably
    from muster.simulate.scenario.page import between_markers, section

    try:
        sections = {one.name: section(one, description, measured)}
        write_durably(page, between_markers(page.read_text(encoding="utf-8"), sections).encode())
    except OSError as error:
        raise Unusable(f"cannot write {page}: {error.strerror}", "name another page") from error
    except ValueError as error:
        raise Refused(str(error), "add both markers where the tables should stand") from error
