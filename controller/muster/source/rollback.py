"""Planning a rollback: the revert commit of one or more releases, checked before any branch moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from muster.kinds.digest import version_key
from muster.kinds.errors import Refused
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import PPM, format_percent
from muster.kinds.release import Release
from muster.source.git import CommitInfo, Repository
from muster.source.load import Loader
from muster.source.revert import Revert, plan_revert, write_revert


@dataclass(frozen=True)
class Rollback:
    """A commit that is written but on no branch yet.

    `return_to`: device class, cohort, and what its devices will run, newest first ("1.1.0 at 25%", "1.0.0").
    """

    commit: str
    releases: tuple[str, ...]
    reverted: tuple[CommitInfo, ...]
    changes: dict[str, bytes | None]
    message: str
    return_to: tuple[tuple[str, str, tuple[str, ...]], ...]


def plan_rollback(  # noqa: PLR0913 - what a rollback consists of
    repository: Repository,
    head: str,
    model: str,
    *,
    version: str | None,
    to: str | None,
    why: str,
    author: str,
    at: datetime,
) -> Rollback:
    """Write the revert commit of the chosen releases of a model on top of `head`.

    Raises `Refused` if there is nothing to take back or the result would not pass the checks.
    """
    loader = Loader()
    releases = _chosen(loader.commit(repository, head).fleet_or_refuse("the newest commit"), model, version, to)
    reverts = [plan_revert(repository, head, release.path, why) for release in releases]
    reverted = {taken.commit: taken for revert in reverts for taken in revert.reverted}
    together = Revert(
        changes={path: data for revert in reverts for path, data in revert.changes.items()},
        at_nought={path: data for revert in reverts for path, data in revert.at_nought.items()},
        reverted=tuple(reverted.values()),
        message=_message(model, releases, reverts, why),
    )
    made = write_revert(repository, loader, together, head, author, at)
    names = tuple(release.name for release in releases)
    return Rollback(made.commit, names, together.reverted, made.changes, together.message, _returns(made.fleet, model))


def _chosen(fleet: Fleet, model: str, version: str | None, to: str | None) -> list[Release]:
    """Newest first."""
    releases = fleet.releases_of(model)
    if not releases:
        known = ", ".join(fleet.models) or "none"
        raise Refused(f"no release of {model} is declared", f"models with releases: {known}")
    for name in (version, to):
        if name is not None and fleet.release(f"{model}/{name}") is None:
            known = ", ".join(release.version for release in releases[:20])
            raise Refused(f"{model}/{name} is not declared", f"declared: {known}")
    reaching = [release for release in releases if release.spec.rollout.reaches_any]
    if version is not None:
        return [release for release in releases if release.version == version]
    if to is not None:
        reaching = [release for release in reaching if version_key(release.version) > version_key(to)]
    if not reaching:
        newer = f" newer than {to}" if to else ""
        raise Refused(f"no release of {model}{newer} reaches any device", "there is nothing to take back")
    return reaching if to is not None else reaching[:1]


def _message(model: str, releases: list[Release], reverts: list[Revert], why: str) -> str:
    if len(reverts) == 1:
        return reverts[0].message
    versions = ", ".join(release.version for release in releases)
    taken = {commit.commit: commit for revert in reverts for commit in revert.reverted}
    lines = [f"Revert {model}: {versions}", "", *(f"This reverts commit {commit}." for commit in taken)]
    return "\n".join([*lines, *(["", why.strip()] if why.strip() else [])]) + "\n"


def _returns(fleet: Fleet, model: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    classes = [found.metadata.name for found in fleet.device_classes if model in found.spec.models]
    cohorts = [cohort.metadata.name for cohort in fleet.cohorts]
    return tuple(
        (device_class, cohort, _offered(fleet, model, device_class, cohort))
        for device_class in classes
        for cohort in cohorts
    )


def _offered(fleet: Fleet, model: str, device_class: str, cohort: str) -> tuple[str, ...]:
    """What the devices of a class in a cohort run: each takes the first entry that includes it."""
    offered: list[str] = []
    for release in fleet.releases_of(model, device_class):
        ppm = release.spec.rollout.cohorts.get(cohort, 0)
        if ppm == PPM:
            return (*offered, release.version)
        if ppm:
            offered.append(f"{release.version} at {format_percent(ppm)}")
    return tuple(offered)
