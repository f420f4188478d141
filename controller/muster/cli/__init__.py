"""The command line: one file per group of verbs, loaded when its verb is called.

Exit codes: 0 it holds; 1 it does not; 2 could not tell.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

import click

from muster import __version__
from muster.kinds.errors import MusterError

# verb -> (module:function, one line of help). The line stands here so that `muster --help` imports no verb.
VERBS: dict[str, tuple[str, str]] = {
    "accept": ("muster.cli.devices:accept", "Let a device in that waits."),
    "agent": ("muster.cli.agent:agent", "Run on a device: enrol, fetch, verify, load, report."),
    "alerts": ("muster.cli.alerts:alerts", "Show what people were told and what did not reach them; send it again."),
    "approve": ("muster.cli.approve:approve", "Approve a commit with your own key, without any forge."),
    "build": ("muster.cli.build:build", "Build a release's artifact, or prove that it rebuilds."),
    "builder": ("muster.cli.builder:builder", "Keep and make the environments that builds run in."),
    "capture": ("muster.cli.capture:capture", "Export samples that devices sent, for labelling; erase them."),
    "check": ("muster.cli.check:check", "Load a fleet and name every complaint with its place."),
    "demo": ("muster.cli.demo:demo", "Play the whole loop on a scratch fleet of real agents."),
    "describe": ("muster.cli.describe:describe", "Show one resource with status, conditions and reasons."),
    "diff-model": ("muster.cli.diff_model:diff_model", "Explain why two models, builds or releases differ."),
    "evidence": ("muster.cli.evidence:evidence", "Make the signed statements that gates read, and verify them."),
    "events": ("muster.cli.events:events", "Show what happened, with reasons."),
    "get": ("muster.cli.get:get", "List what is declared, published and running."),
    "history": ("muster.cli.history:history", "Show what happened to a model, from git and the ledger."),
    "init": ("muster.cli.init:init", "Make a fleet repository that passes `check`."),
    "keys": ("muster.cli.keys:keys", "Make, show and replace the keys of this controller."),
    "label": ("muster.cli.devices:label", "Set labels of a device."),
    "ledger": ("muster.cli.ledger:ledger", "Verify the ledger, from a clone alone or a state folder."),
    "measure": ("muster.cli.measure:measure", "Measure a release as a device class runs it, and sign that."),
    "plan": ("muster.cli.plan:plan", "Show what the controller would do, and what it waits for."),
    "policy": ("muster.cli.policy:policy", "Try the policies on small changes and compare."),
    "promote": ("muster.cli.promote:promote", "Commit the next step of a release, if the gate would let it pass."),
    "rebuild": ("muster.cli.rebuild:rebuild", "Be a rebuilder: build what has no verdict of yours, and sign one."),
    "register": ("muster.cli.devices:register", "Let devices in that are yet to come."),
    "rehearse": ("muster.cli.rehearse:rehearse", "Try the way back of a model, and sign how it came out."),
    "release": ("muster.cli.release:release", "Write a release file with every pin filled in."),
    "report": ("muster.cli.report:report", "Report how well the fleet delivers."),
    "resume": ("muster.cli.by_hand:resume", "Offer a suspended release again, judged from there on."),
    "revoke": ("muster.cli.devices:revoke", "End a device: its secret is worth nothing any more."),
    "rollback": ("muster.cli.rollback:rollback", "Make the revert commit that takes a release back."),
    "run": ("muster.cli.run:run", "Run the controller on a repository."),
    "schemas": ("muster.cli.schemas:schemas", "Write the JSON Schemas of the kinds."),
    "suspend": ("muster.cli.by_hand:suspend", "Stop a release on every device, for a time or for good."),
    "sign": ("muster.cli.sign:sign", "Sign an artifact for people, with a key or keyless."),
    "simulate": ("muster.cli.simulate:simulate", "Play a rollout on millions of simulated devices."),
    "trace": ("muster.cli.trace:trace", "Walk from a device or a digest to data, and back."),
    "verify": ("muster.cli.verify:verify", "Verify an artifact's digest and signature."),
    "wait": ("muster.cli.wait:wait", "Wait until the fleet runs what git declares."),
}


_ALLOCATIONS = 50_000
"""Objects that are made, more than die, between two searches for garbage; Python's own choice is 700."""


class Verbs(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, help_line) for verb, (_, help_line) in sorted(VERBS.items())])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="muster")
def cli() -> None:
    """GitOps for models that run on devices: a merge promotes, a revert rolls back."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code. No traceback reaches a user."""
    # Most of a short verb is making classes, which are no garbage: looking for some in them, as they come and again
    # as the process ends, would be a seventh of its time.
    gc.set_threshold(_ALLOCATIONS)
    exit_code = exit_code_of(arguments)
    gc.freeze()
    sys.exit(exit_code)


def exit_code_of(arguments: list[str] | None = None) -> int:
    """The exit code of one command line; complaints go to standard error."""
    try:
        outcome: Any = cli.main(args=arguments, prog_name="muster", standalone_mode=False)
    except click.exceptions.Abort:
        _complain("interrupted")
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        _complain(error.format_message(), f"see {context.command_path} --help" if context else None)
        return 2
    except MusterError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except BrokenPipeError:
        # The reader left; Python would complain again while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except Exception as error:  # the last wall before a user
        if os.environ.get("MUSTER_DEBUG"):
            raise
        _complain(
            f"internal error: {type(error).__name__}: {error}", "set MUSTER_DEBUG=1 for the details, and report it"
        )
        return 2
    return outcome if isinstance(outcome, int) else 0


def _complain(message: str, hint: str | None = None) -> None:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)
