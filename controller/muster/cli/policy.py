"""`muster policy`: try the policies of this repository on small changes."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, output_option


@click.group()
def policy() -> None:
    """Work with the policies of a fleet."""


@policy.command()
@click.argument("path", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--committed", is_flag=True, help="Test the policies of HEAD, not those of the work tree.")
@output_option
def test(path: Path, committed: bool, output: str) -> int:
    """Play the cases of policies/tests/ and compare their verdicts with those expected.

    Exit code: 0 all as expected, 1 not, 2 nothing could be played.
    """
    from muster.cli.check_fleet import repository_at
    from muster.review.policy_tests import run_policy_tests

    outcomes = list(run_policy_tests(repository_at(path), committed=committed))
    failed = sum(bool(outcome.complaints) for outcome in outcomes)
    report = {
        "ok": not failed,
        "cases": [
            {
                "name": outcome.name,
                "file": outcome.path,
                "ok": not outcome.complaints,
                "complaints": [
                    {
                        "file": finding.place.file,
                        "line": finding.place.line,
                        "column": finding.place.column,
                        "rule": finding.rule,
                        "message": finding.message,
                        "hint": finding.hint,
                    }
                    for finding in outcome.complaints
                ],
            }
            for outcome in outcomes
        ],
    }

    def text() -> None:
        for outcome in outcomes:
            click.echo(f"{'FAIL' if outcome.complaints else 'ok  '} {outcome.name} ({outcome.path})")
            for finding in outcome.complaints:
                click.echo(str(finding))
        click.echo(f"{len(outcomes)} {'case' if len(outcomes) == 1 else 'cases'}, {failed} failed")

    emit(report, output, text)
    return 1 if failed else 0
