"""Checking one commit or work tree: load the fleet and name every complaint with its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.source.git import Repository
    from muster.source.load import Loaded


def check_fleet(path: Path, revision: str, *, work_tree: bool) -> tuple[dict[str, Any], Callable[[], None]]:
    """The report as data, and what prints it for people. Raises `Unusable` if nothing can be read."""
    from muster.source.documents import document_findings, documents_at, documents_in
    from muster.source.load import Loader

    note = None
    if work_tree:
        loaded = Loader().work_tree(path)
        documents = documents_in(path)
    else:
        repository = repository_at(path)
        loaded = Loader().commit(repository, repository.resolve(revision))
        documents = documents_at(repository, loaded.commit or revision)
        note = _uncommitted(repository, loaded) if revision == "HEAD" else None
    loaded = replace(loaded, findings=(*loaded.findings, *document_findings(documents, loaded.owners)))
    report = {**_report(loaded), "note": note}
    return report, lambda: _text(loaded, report, note)


def repository_at(path: Path) -> Repository:
    """The repository that PATH is in. Raises `Unusable`, with what can be checked without one."""
    from muster.source.git import Repository

    try:
        return Repository(path)
    except Unusable as error:
        raise Unusable(error.message, f"{error.hint}, or check a plain folder with --work-tree") from error


def _uncommitted(repository: Repository, loaded: Loaded) -> str | None:
    """One line, if the work tree says something else than the commit that was checked."""
    from muster.source.work_tree import differences

    if repository.bare or loaded.commit is None:
        return None
    changed = differences(repository, loaded.commit)
    if not changed:
        return None
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]}{more} differ in the work tree; `muster check --work-tree` checks them"


def _report(loaded: Loaded) -> dict[str, Any]:
    errors = sum(1 for finding in loaded.findings if finding.severity == "error")
    fleet = loaded.fleet
    return {
        "ok": fleet is not None and not errors,
        "commit": loaded.commit,
        "errors": errors,
        "warnings": len(loaded.findings) - errors,
        "declared": None
        if fleet is None
        else {
            "releases": len(fleet.releases),
            "deviceClasses": len(fleet.device_classes),
            "cohorts": len(fleet.cohorts),
            "policies": len(fleet.policies),
            "signingKeys": len(fleet.signing_keys),
        },
        "findings": [
            {
                "file": finding.place.file,
                "line": finding.place.line,
                "column": finding.place.column,
                "severity": finding.severity,
                "rule": finding.rule,
                "message": finding.message,
                "hint": finding.hint,
            }
            for finding in loaded.findings
        ],
    }


def _text(loaded: Loaded, report: dict[str, Any], note: str | None) -> None:
    for finding in loaded.findings:
        click.echo(str(finding))
    what = f"commit {loaded.commit[:12]}" if loaded.commit else "the work tree"
    counts = f"{_count(report['errors'], 'error')}, {_count(report['warnings'], 'warning')}"
    summary = f"{what}: {counts}"
    if loaded.fleet is not None:
        fleet = loaded.fleet
        summary += (
            f"; {_count(len(fleet.releases), 'release')}, {_count(len(fleet.device_classes), 'device class', 'es')}, "
            f"{_count(len(fleet.cohorts), 'cohort')}"
        )
    click.echo(summary)
    if note:
        click.echo(f"note: {note}", err=True)


def _count(number: int, word: str, plural: str = "s") -> str:
    return f"{number} {word}{'' if number == 1 else plural}"
