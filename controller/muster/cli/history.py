"""`muster history`: what happened to a model, from git alone, and from the ledger where a state folder is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, output_option, state_option, table


@click.command()
@click.argument("model")
@click.option("--repository", type=click.Path(file_okay=False), default=".", show_default=True)
@click.option("--revision", default="HEAD", show_default=True)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@state_option
@output_option
def history(model: str, output: str, **options: Any) -> int:
    """Show every commit that changed a release of MODEL, with its rollouts, and what the controller did.

    Newest first. Commits come from the clone; events from the ledger in the state folder, if there is one.
    """
    rows = _commits(model, options["repository"], options["revision"], options["limit"])
    rows += _events(model, Path(options["state"]))
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
    from datetime import UTC

    from muster.kinds.errors import Unusable
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


def _events(model: str, state: Path) -> list[dict[str, Any]]:
    if not (state / "muster.db").is_file():
        return []
    from muster.apply.ledger import events
    from muster.observe.storage import open_storage

    engine = open_storage(state)
    with engine.connect() as connection:
        found = [event for event in events(connection, limit=100_000) if _concerns(event.body, model)]
    engine.dispose()
    return [
        {
            "at": event.at.isoformat(),
            "what": event.event,
            "who": "controller",
            "commit": event.body.get("commit"),
            "change": _summary(event.event, dict(event.body)),
            "digest": event.digest,
        }
        for event in found
    ]


def _concerns(body: Any, model: str) -> bool:
    release = body.get("release")
    return release is None or str(release).startswith(f"{model}/")


def _summary(event: str, body: dict[str, Any]) -> str:
    if event == "published":
        offers = {
            f"{key}: " + ", ".join(entry["release"].partition("/")[2] for entry in entries)
            for key, entries in body["documents"].items()
        }
        return f"generation {body['generation']}; " + "; ".join(sorted(offers))
    return f"{body.get('release') or body.get('artifact')}" + (f": {body['reason']}" if body.get("reason") else "")
