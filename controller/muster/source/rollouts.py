"""Rollouts of a model at a commit, read and edited without loading the whole fleet.

Old commits may hold what today's kinds would refuse, so only the percentages are read, and what is not readable is
said to be so.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from muster.kinds.errors import Refused
from muster.kinds.quantity import format_percent
from muster.source.edit import set_rollout
from muster.source.git import Repository
from muster.source.yaml_events import YamlFault, parse


def with_share(repository: Repository, commit: str, path: str, cohort: str, ppm: int) -> bytes:
    """The release file of a commit with another percentage of one cohort. Raises `Refused` if it cannot be edited."""
    text = (repository.show_file(commit, path) or b"").decode()
    try:
        document: Any = parse(text.encode()).data
        cohorts = dict(document["spec"]["rollout"]["cohorts"])
    except (YamlFault, TypeError, KeyError, ValueError) as error:
        raise Refused(f"{path} has no spec.rollout.cohorts at {commit}", "name a release of this commit") from error
    return set_rollout(text, {**cohorts, cohort: format_percent(ppm)}).encode()


def rollouts_of(repository: Repository, commit: str, model: str) -> dict[str, str]:
    """Version → its percentages per cohort, as text."""
    entries = [entry for entry in repository.tree(commit, [f"releases/{model}"]) if entry.path.endswith(".yaml")]
    blobs = repository.blobs(entry.blob for entry in entries)
    return {PurePosixPath(entry.path).stem: rollout_of(blobs[entry.blob]) for entry in entries}


def rollout_of(data: bytes) -> str:
    """The percentages of one release file, as text."""
    try:
        document: Any = parse(data).data
        cohorts = document["spec"]["rollout"]["cohorts"]
        return ", ".join(f"{name} {percent}" for name, percent in cohorts.items())
    except (YamlFault, TypeError, KeyError, AttributeError):
        return "not readable"
