"""Reading both sides of a change: the fleet of the base, the fleet of the merge result, and what differs between them.

Cost follows the change: unless devices or tiers change, only the models that are touched are read, and of those only
the releases that are touched, that they supersede, that reach a device, or that one of these could go back to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from muster.check.change import Touched, tier_rank
from muster.kinds.digest import version_key
from muster.kinds.errors import Unusable
from muster.kinds.finding import Finding
from muster.kinds.fleet import Fleet
from muster.source.git import Repository
from muster.source.layout import FOLDERS, kind_name_at, leaves_the_tree
from muster.source.load import Loaded, Loader

_FURTHEST_BACK = 50
_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")


@dataclass(frozen=True)
class Sides:
    """`head` is None if the merge result does not load; `findings` then say why.

    `judged_by` is the commit whose policies count: the base, or the newest commit before it that loads.
    """

    base: Fleet
    head: Fleet | None
    findings: tuple[Finding, ...]
    judged_by: str


def read_sides(loader: Loader, repository: Repository, base: str, tree: str, touched: tuple[Touched, ...]) -> Sides:
    """Load both sides. Raises `Unusable` if neither the base nor any of the 50 commits before it loads."""
    scope = _scope(touched)
    if scope.models is not None:
        # Both sides hold the same part of the fleet, or what one side left out would look added or removed.
        fleet = loader.part(repository, tree, *scope.part).fleet
        back = _ways_back(fleet, loader.at_rest(repository, tree, scope.models), scope) if _most_back(fleet) else set()
        scope = replace(scope, files=scope.files | _superseded(fleet, scope) | back)
    judged_by, old = _base(loader, repository, base, scope)
    # What a broken base cannot say about itself is asked of the whole tree.
    new = loader.commit(repository, tree) if judged_by != base else _load(loader, repository, tree, scope)
    assert old.fleet is not None
    return Sides(old.fleet, new.fleet, new.findings, judged_by)


@dataclass(frozen=True)
class _Scope:
    """The models that a change is about, and their touched files; `models` is None if everything has to be read."""

    models: frozenset[str] | None
    files: frozenset[str]

    @property
    def part(self) -> tuple[frozenset[str], frozenset[str]]:
        """The models to read, and the releases among theirs that are read in any case."""
        return self.models or frozenset(), self.files


def _scope(touched: tuple[Touched, ...]) -> _Scope:
    ours = [file.path for file in touched if file.path.startswith(tuple(f"{folder}/" for folder in FOLDERS))]
    releases = [path for path in ours if kind_name_at(path) == "Release"]
    wide = any(_concerns_everything(path) for path in ours)
    models = frozenset(path.split("/")[1] for path in releases)
    return _Scope(None if wide else models, frozenset(releases))


def _concerns_everything(path: str) -> bool:
    """True for classes, cohorts and tiers, and for whatever stands where nothing is declared."""
    return kind_name_at(path) in ("DeviceClass", "Cohort", "Policy", None) or leaves_the_tree(path)


def _load(loader: Loader, repository: Repository, tree: str, scope: _Scope) -> Loaded:
    if scope.models is None:
        return loader.commit(repository, tree)
    return loader.part(repository, tree, *scope.part)


def _superseded(fleet: Fleet | None, scope: _Scope) -> frozenset[str]:
    """Files of the releases that the touched ones supersede."""
    return frozenset(
        f"releases/{release.model}/{release.spec.supersedes}.yaml"
        for release in (fleet.releases if fleet else ())
        if release.path in scope.files and release.spec.supersedes is not None
    )


def _most_back(fleet: Fleet | None) -> int:
    """How many releases some tier wants to stay deployable."""
    tiers = [tier for policy in (fleet.policies if fleet else ()) for tier in policy.spec.tiers]
    return max((tier.deployable for tier in tiers), default=0)


def _ways_back(fleet: Fleet | None, at_rest: Mapping[str, str], scope: _Scope) -> set[str]:
    """Files of releases at rest that the touched ones, or what runs now, could go back to: the newest older ones.

    Only files that the change leaves alone, so that both sides get the same ones.
    """
    resting: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    for path, tier in at_rest.items():
        version = _version_at(path)
        if version and path not in scope.files and tier_rank(tier) >= tier_rank("production"):
            resting.setdefault(path.split("/")[1], []).append((version, path))
    starts = {(path.split("/")[1], version) for path in scope.files if (version := _version_at(path))}
    for release in fleet.releases if fleet else ():
        if release.spec.rollout.reaches_any:
            starts.add((release.model, version_key(release.version)))
    found: set[str] = set()
    for model, version in starts:
        older = sorted((pair for pair in resting.get(model, ()) if pair[0] < version), reverse=True)
        found.update(path for _, path in older[: _most_back(fleet)])
    return found


def _version_at(path: str) -> tuple[int, ...] | None:
    name = path.rpartition("/")[2].removesuffix(".yaml")
    return version_key(name) if _VERSION.fullmatch(name) else None


def _base(loader: Loader, repository: Repository, base: str, scope: _Scope) -> tuple[str, Loaded]:
    loaded = _load(loader, repository, base, scope)
    if loaded.fleet is not None:
        return base, loaded
    for commit in repository.log(None, _FURTHEST_BACK, base, first_parent=True)[1:]:
        # A broken base must not block its own mending, and must not judge either.
        older = loader.commit(repository, commit.commit)
        if older.fleet is not None:
            return commit.commit, older
    first = next(finding for finding in loaded.findings if finding.severity == "error")
    raise Unusable(f"the base {base[:12]} does not load: {first.place}: {first.message}", first.hint)
