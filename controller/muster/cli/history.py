"""`muster history`: what happened to a model, from git alone, and from the ledger where a state folder is at hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.ledger import where_option
from muster.cli.output import emit, output_option, table
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.attest.package.ledger_rows import Row


@click.command()
@click.argument("model", required=False)
@click.option("--model", "named", metavar="MODEL", help="The same as MODEL.")
@click.option(
    "--at", metavar="TIME", help="Answer for this moment: what was desired, approved by whom, on what evidence."
)
@click.option("--cohort", help="The cohort that --at is about.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@where_option("clone")
@output_option
def history(model: str | None, output: str, **options: Any) -> int:
    """Show every commit that changed a release of MODEL, with its rollouts, and what the controller did.

    Newest first. Commits come from the clone; events from the ledger of the state folder, or else of the clone. With
    --at and --cohort, say instead which digest was desired there and then, who approved it and on what evidence: from
    the clone and its refs/muster/ledger alone (or --from state), once that ledger is verified.
    """
    model = model or options["named"]
    if model is None:
        raise Unusable("no model is named", "muster history MODEL")
    if options["at"] or options["cohort"]:
        from muster.cli.desired import show_desired

        return show_desired(model, output, options)
    rows = _commits(model, options["repository"], options["revision"], options["limit"])
    rows += _events(model, options)
    rows.sort(key=lambda row: str(row["at"]), reverse=True)
    rows = rows[: options["limit"]]
    emit(
        rows,
        output,
        lambda: table(
            ["at", "what", "who", "commit", "change"],
            [[row["at"], row["what"], row["who"], (row["commit"] or "")[:12], row["change"]] for row in rows],
        ),
    )
    return 0


def _commits(model: str, repository: str, revision: str, limit: int) -> list[dict[str, Any]]:
    from muster.source.git import Repository
    from muster.source.rollouts import rollouts_of

    source = Repository(Path(repository))
    head = source.resolve(revision)
    rows = []
    commits = source.log(f"releases/{model}", limit, head)
    if not commits:
        raise Unusable(f"no commit up to {revision} touches releases/{model}", "name a model: muster get releases")
    for commit in commits:
        before = rollouts_of(source, commit.parents[0], model) if commit.parents else {}
        after = rollouts_of(source, commit.commit, model)
        rows.append(
            {
                "at": commit.at.astimezone(UTC).isoformat(),
                "what": "commit",
                "who": commit.author,
                "commit": commit.commit,
                "change": _changes(before, after) or commit.subject,
                "subject": commit.subject,
            }
        )
    return rows


def _changes(before: dict[str, str], after: dict[str, str]) -> str:
    return "; ".join(
        f"{version}: {before.get(version, 'not declared')} → {after.get(version, 'removed')}"
        for version in sorted(before.keys() | after.keys())
        if before.get(version) != after.get(version)
    )


def _events(model: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    from muster.attest.ledger.in_git import tip
    from muster.review.events import concerns, summary
    from muster.review.ledger import Place, believed, from_clone, state_rows
    from muster.source.git import Repository

    state, repository = Path(options["state"]), Repository(Path(options["repository"]))
    rows: tuple[Row, ...] = ()
    if (state / "muster.db").is_file():
        rows = state_rows(state)
    elif tip(repository, options["ref"]):
        place = Place(repository, options["revision"], options["ref"])
        rows = believed(from_clone(place, datetime.now(UTC))).rows
    return [
        {
            "at": row.at,
            "what": row.event,
            "who": "controller",
            "commit": row.body.get("commit"),
            "change": summary(row.event, row.body),
            "digest": row.digest,
        }
        for row in rows
        if concerns(row.body, model)
    ]
