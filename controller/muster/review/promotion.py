"""A promotion by hand: the next step of a release, as a commit that was judged like any pull request before it stands.

The step is that of the release's tier, in the first cohort (in their order) that has not all of it. Whatever is asked
for instead is judged by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.kinds.errors import Refused
from muster.kinds.field_state import FieldState
from muster.kinds.fleet import Fleet
from muster.kinds.pull_request import PullRequest
from muster.kinds.quantity import PPM, format_percent
from muster.kinds.release import Release
from muster.review.review import review
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.rollouts import with_share

PEOPLES = ("approval", "checklist", "weakening")
"""Sections of verdicts that people lift, in the pull request itself."""


@dataclass(frozen=True)
class Asked:
    """What to promote: `to` in ppm and `cohort` are None for the next step. `why` is the commit's reason."""

    release: str
    why: str
    author: str
    at: datetime
    to: int | None = None
    cohort: str | None = None


@dataclass(frozen=True)
class Promotion:
    """A commit on no branch yet, from `before` to `after` (ppm), and what the rules of the base say of it."""

    commit: str
    release: str
    cohort: str
    before: int
    after: int
    message: str
    judgement: Judgement

    def refused_by(self, *, people_follow: bool) -> tuple[Verdict, ...]:
        """What blocks it. `people_follow`: it becomes a pull request, in which people have yet to say their word."""
        return tuple(
            verdict
            for verdict in self.judgement.verdicts
            if verdict.blocks and not (people_follow and verdict.section in PEOPLES)
        )


def plan_promotion(
    repository: Repository, head: str, asked: Asked, controller: FieldState | None, loader: Loader
) -> Promotion:
    """Write the commit on top of `head`, and judge it. No branch moves.

    Raises `Refused` if the release is not declared, has no step left, or the result does not load.
    """
    fleet = loader.commit(repository, head).fleet_or_refuse("the newest commit")
    release = fleet.release(asked.release)
    if release is None:
        known = ", ".join(item.name for item in fleet.releases[-10:]) or "none"
        raise Refused(f"{asked.release} is not declared", f"declared are: {known}")
    cohort = _cohort(fleet, release, asked)
    before = release.spec.rollout.cohorts.get(cohort, 0)
    after = asked.to if asked.to is not None else _next_step(fleet, release, cohort, before)
    if after <= before:
        raise Refused(
            f"{cohort} has {format_percent(before)} of {release.name} already", "to take it back: muster rollback"
        )
    moved = f"{cohort} {format_percent(before)} → {format_percent(after)}"
    message = f"Promote {release.name}: {moved}\n\n{asked.why.strip()}\n"
    changes: dict[str, bytes | None] = {release.path: with_share(repository, head, release.path, cohort, after)}
    commit = repository.commit_files(head, changes, message, asked.author, asked.at)
    loader.commit(repository, commit).fleet_or_refuse(f"the promotion of {release.name}")
    judgement = review(repository, PullRequest(base=head, head=commit), asked.at, controller, loader)
    return Promotion(commit, release.name, cohort, before, after, message, judgement)


def _cohort(fleet: Fleet, release: Release, asked: Asked) -> str:
    names = [cohort.metadata.name for cohort in fleet.cohorts]
    if asked.cohort is not None:
        if asked.cohort not in names:
            raise Refused(f"no cohort {asked.cohort} is declared", f"declared are: {', '.join(names) or 'none'}")
        return asked.cohort
    most = asked.to if asked.to is not None else PPM
    shares = release.spec.rollout.cohorts
    found = next((name for name in names if shares.get(name, 0) < most), None)
    if found is None:
        raise Refused(f"every cohort has {format_percent(most)} of {release.name}", "there is no step left to take")
    return found


def _next_step(fleet: Fleet, release: Release, cohort: str, before: int) -> int:
    tier = fleet.tier(release)
    following = next((step for step in (tier.steps if tier else ()) if step > before), None)
    if following is None:
        raise Refused(
            f"tier {release.spec.tier} declares no step above {format_percent(before)} for {cohort}",
            "say how far: --to PERCENT",
        )
    return following
