"""`muster keys`: make, show and replace the keys of this controller. No secret is ever printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, output_option, state_option, table
from muster.cli.repository import repository_option
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from muster.apply.key_rotation import Rotation, Wish


@click.group()
def keys() -> None:
    """Make, show and replace the keys of this controller.

    The TUF root key and targets key may be kept elsewhere once they are made; the first is needed twice a year, the
    second whenever something is published, a halt included.
    """


@keys.command()
@state_option
@click.option(
    "--repository",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="Work tree of the fleet's repository, which the public halves are written to.",
)
@click.option("--name", default="controller", show_default=True, help="Name of the signing key in the repository.")
@output_option
def init(state: str, repository: str, name: str, output: str) -> None:
    """Make what is missing: signing key, TUF keys, tokens; and write the public halves for you to commit."""
    from datetime import UTC, datetime
    from pathlib import Path

    from muster.apply.key_setup import initialise_keys

    made = initialise_keys(Path(state), Path(repository), name, datetime.now(UTC))
    value = {
        "signingKey": made.signing_key_id,
        "made": [str(path) for path in made.made],
        "elsewhere": [str(path) for path in made.elsewhere],
    }

    def text() -> None:
        for path in made.made:
            click.echo(f"made {path}")
        for path in made.elsewhere:
            click.echo(f"not here: {path}; kept elsewhere, and not made anew")
        if not made.made:
            click.echo("nothing to make" + ("" if made.elsewhere else ": every key is there"))
        declared = [str(path) for path in made.made if path.is_relative_to(repository) and "policies" in path.parts]
        if declared:
            click.echo(f"commit, so that devices trust them: git add {' '.join(declared)}")

    emit(value, output, text)


@keys.command()
@click.argument("name")
@click.option(
    "--use",
    "uses",
    type=click.Choice(["artifacts", "evidence", "approvals", "packages"]),
    multiple=True,
    required=True,
    help="What signatures of this key count for; may be repeated.",
)
@state_option
@output_option
def new(name: str, uses: tuple[Any, ...], state: str, output: str) -> None:
    """Make a key of its own for evidence, approvals or packages, and print what declares it.

    Its private half stays in the state folder; the declaration belongs into policies/keys/NAME.yaml, for the owners of
    policy to approve: mkdir -p policies/keys && muster keys new lab --use evidence > policies/keys/lab.yaml
    """
    from pathlib import Path

    from muster.apply.key_setup import new_named_key

    path, declaration = new_named_key(Path(state), name, uses)

    def text() -> None:
        click.echo(f"made {path}", err=True)
        click.echo(declaration, nl=False)

    emit({"private": str(path), "declaration": declaration}, output, text)


@keys.command()
@state_option
@output_option
def show(state: str, output: str) -> None:
    """List public keys, key ids and file modes."""
    from pathlib import Path

    from muster.apply.key_setup import describe_keys

    found = describe_keys(Path(state))
    value = [
        {
            "name": key.name,
            "use": key.use,
            "path": str(key.path),
            "mode": key.mode,
            "keyId": key.key_id,
            "public": key.public,
        }
        for key in found
    ]
    rows = [(key.name, key.use, key.mode or "elsewhere", key.key_id or "-", key.path) for key in found]
    emit(value, output, lambda: table(("NAME", "USE", "MODE", "KEY ID", "PATH"), rows))


@keys.command("class-token")
@click.argument("device_class")
@state_option
@repository_option
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="A new file for the token, mode 0600.")
def write_class_token(device_class: str, out: str, state: str, **given: Any) -> None:
    """Write the enrolment token of DEVICE_CLASS into a file: it opens that class only.

    It holds until the class's `enrolment.tokenGeneration` is raised, or the fleet's enrolment token replaced.
    """
    from pathlib import Path

    from muster.attest.private_files import create_private
    from muster.attest.state_keys import StateKeys, class_token
    from muster.cli.repository import load_fleet

    fleet = load_fleet(given["repository"], given["revision"])
    declared = {one.metadata.name: one.spec.enrolment for one in fleet.device_classes}
    rules = declared.get(device_class)
    if rules is None:
        known = device_class in declared
        raise Refused(
            f"{device_class} declares no enrolment" if known else f"device class {device_class} is not declared",
            "its devices take the enrolment token of the fleet" if known else f"declared are {', '.join(declared)}",
        )
    token = class_token(StateKeys.of(Path(state)).enrolment_token(), device_class, rules.token_generation)
    if not create_private(Path(out), token.encode() + b"\n"):
        raise Refused(f"{out} is there already", "name another file")
    click.echo(f"wrote {out}")


@keys.command()
@click.argument("roles", nargs=-1, required=True, type=click.Choice(["root", "targets", "snapshot", "timestamp"]))
@click.option(
    "--elsewhere",
    type=click.Path(file_okay=False),
    help="Folder, on a medium of its own, that holds the root's and the targets' keys; the new ones are made there.",
)
@click.option(
    "--lost",
    type=click.Choice(["targets", "snapshot", "timestamp"]),
    multiple=True,
    help="The old key of this role is gone for good; may be repeated.",
)
@click.option("--since", type=click.IntRange(1), help="Only if the newest root has this version: safe to repeat.")
@state_option
@output_option
def rotate(**options: Any) -> None:
    """Replace TUF keys of these roles: the next root, signed by the old one, names the new ones.

    The controller must be stopped meanwhile. What was cut off is completed by the same command. Devices follow from
    root to root by themselves, however long they were away.
    """
    from pathlib import Path

    from muster.apply.key_rotation import Wish

    elsewhere = Path(options["elsewhere"]) if options["elsewhere"] else None
    done = _rotate(Path(options["state"]), Wish(options["roles"], options["lost"], elsewhere, options["since"]))
    value = {
        "root": done.root,
        "completed": done.completed,
        "replaced": [
            {
                "role": key.role,
                "old": key.old,
                "new": key.new,
                "path": str(key.path),
                "retired": str(key.retired) if key.retired else None,
            }
            for key in done.replaced
        ],
    }

    def text() -> None:
        for key in done.replaced:
            click.echo(f"{key.role}: {(key.old or 'lost')[:12]} → {key.new[:12]}, in {key.path}")
            if key.retired:
                click.echo(f"  the old one is kept in {key.retired}")
        what = "completed what was cut off" if done.completed else "done" if done.replaced else "nothing to do"
        click.echo(f"{what}: the newest root is {done.root}")

    emit(value, options["output"], text)


def _rotate(state: Path, wish: Wish) -> Rotation:
    """With a ledger, if the controller has one; the uses of keys are entered there."""
    from datetime import UTC, datetime

    from muster.apply.key_rotation import rotate_keys
    from muster.apply.key_uses import KeyUses
    from muster.attest.keys import public_half
    from muster.attest.state_keys import StateKeys
    from muster.observe.storage import open_storage

    now = datetime.now(UTC)
    if not (state / "muster.db").is_file():
        return rotate_keys(state, wish, now)
    engine = open_storage(state)
    try:
        uses = KeyUses(engine, public_half(StateKeys.of(state).signing_key()))
        return rotate_keys(state, wish, now, uses.enter)
    finally:
        engine.dispose()


@keys.command()
@click.argument("name")
@state_option
@output_option
def certificate(name: str, state: str, output: str) -> None:
    """Print the certificate by which devices trust packages of a key: `public-key-file` of SWUpdate.

    NAME is that of `muster keys new NAME --use packages`. The certificate follows from the key: it is always the same.
    """
    from pathlib import Path

    from muster.apply.key_setup import read_named_key
    from muster.attest.package_signature import package_certificate

    pem = package_certificate(read_named_key(Path(state), name)).decode()
    emit({"certificate": pem}, output, lambda: click.echo(pem, nl=False))


@keys.command("gateway-token")
@state_option
@output_option
def gateway_token(state: str, output: str) -> None:
    """Make the token that DDI clients without a secret of their own show; remove the file to close that door.

    Whoever has it can speak for every device whose class has a DDI client, and for no other.
    """
    from pathlib import Path

    from muster.attest.state_keys import StateKeys

    found = StateKeys.of(Path(state))
    is_new = found.make_gateway_token()
    path = found.gateway_token_path
    emit(
        {"path": str(path), "new": is_new},
        output,
        lambda: click.echo(f"{'made' if is_new else 'there already:'} {path}"),
    )
