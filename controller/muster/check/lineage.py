"""Does every `supersedes` lead to a release, and never in a circle?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from muster.kinds.digest import version_key
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.release import Release


def lineage_complaints(releases: Mapping[str, Release], unreadable: Collection[str] = ()) -> Iterator[Complaint]:
    """Complaints about `supersedes`; `releases` by file path."""
    by_name = {release.name: path for path, release in releases.items()}
    for path, release in releases.items():
        name = _superseded(release)
        if name is not None and name not in by_name and f"releases/{name}.yaml" not in unreadable:
            yield Complaint(
                Pointer(path, ("spec", "supersedes")),
                "dangling",
                f"release {name} is not declared",
                f"{release.model} has {_versions(releases, release.model)}; the first release supersedes nothing",
            )
    for circle in _circles({release.name: release for release in releases.values()}):
        yield Complaint(
            Pointer(by_name[circle[0]], ("spec", "supersedes")),
            "cycle",
            "supersedes runs in a circle: " + " → ".join((*circle[:20], circle[0])),
            "let each release supersede an older one",
        )


def _circles(releases: Mapping[str, Release]) -> Iterator[tuple[str, ...]]:
    """Every circle once, beginning with its first name. Each release is visited once: it supersedes one at most."""
    done: set[str] = set()
    for start in sorted(releases):
        trail: dict[str, int] = {}
        name: str | None = start
        while name is not None and name in releases and name not in done and name not in trail:
            trail[name] = len(trail)
            name = _superseded(releases[name])
        if name is not None and name in trail:
            members = list(trail)[trail[name] :]
            first = members.index(min(members))
            yield (*members[first:], *members[:first])
        done.update(trail)


def _superseded(release: Release) -> str | None:
    return f"{release.model}/{release.spec.supersedes}" if release.spec.supersedes is not None else None


def _versions(releases: Mapping[str, Release], model: str) -> str:
    versions = {release.version for release in releases.values() if release.model == model}
    return ", ".join(sorted(versions, key=version_key, reverse=True)[:20])
