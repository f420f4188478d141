"""`muster run`: the controller as one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import state_option
from muster.kinds.errors import Unusable
from muster.kinds.quantity import parse_duration


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise Unusable(f"not an address: {text!r}", 'write "127.0.0.1:8470"')
    return host.strip("[]"), int(port)


def _interval(text: str) -> float:
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise Unusable(f"--interval: {error}") from error


@click.command()
@click.option("--repository", default=".", show_default=True, help="Local path or URL of the fleet's repository.")
@click.option("--branch", default="main", show_default=True, help="The branch that is declared desired state.")
@state_option
@click.option("--listen", default="127.0.0.1:8470", show_default=True, help="Where devices and operators reach it.")
@click.option("--interval", default="30s", show_default=True, help="Longest time between two looks, ±10 %.")
@click.option("--author", default="Muster controller <muster@localhost>", show_default=True)
@click.option(
    "--sandbox",
    type=click.Choice(["namespaces", "landlock", "limits"]),
    default="landlock",
    envvar="MUSTER_SANDBOX",
    show_default=True,
    help="Weakest sandbox that a build is run in; without it no build.",
)
@click.option(
    "--alert-network",
    "alert_networks",
    multiple=True,
    metavar="NETWORK",
    help="A network beyond public addresses that alerts may be sent into, such as 10.1.0.0/16; may be repeated.",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="NETWORK",
    help="A proxy, such as 10.1.2.3, that is believed about certificates and addresses; may be repeated.",
)
@click.option("--name-header", help="Where it says a certificate's common name, a device id. [X-Ssl-Client-Cn]")
@click.option("--verified-header", help="Where it says SUCCESS, or NONE without a certificate. [X-Ssl-Client-Verify]")
@click.option("--address-header", help="Where it says from which address a request came. [X-Forwarded-For]")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--once", is_flag=True, help="Reconcile once and leave; nothing is served.")
def run(**options: Any) -> int:
    """Run the controller on a repository: plan, apply, serve devices, take telemetry. It logs to standard error.

    SIGTERM and SIGINT finish what is under way. SIGKILL at any instant loses nothing: start it again.
    """
    from datetime import timedelta

    from muster.build.sandbox.confinement import level_named
    from muster.daemon import Settings
    from muster.process import log_to_stderr, reconcile_once, run_process

    log_to_stderr(as_json=options["output"] == "json")

    settings = Settings(
        repository=options["repository"],
        state=Path(options["state"]).absolute(),
        branch=options["branch"],
        interval=timedelta(seconds=_interval(options["interval"])),
        author=options["author"],
        sandbox=level_named(options["sandbox"]),
        alert_networks=tuple(options["alert_networks"]),
    )
    if options["once"]:
        return reconcile_once(settings)
    from muster.serve.guard import Access
    from muster.serve.proxies import Proxies

    headers = {name: options[f"{name}_header"] for name in ("name", "verified", "address")}
    host, port = _address(options["listen"])
    return run_process(settings, host, port, Access(Proxies.of(options["trusted_proxies"], headers)))
