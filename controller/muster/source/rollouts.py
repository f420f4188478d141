"""Rollouts of a model at a commit, read without loading the whole fleet: for history.

Old commits may hold what today's kinds would refuse, so only the percentages are read, and what is not readable is
said to be so.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from muster.source.git import Repository
from muster.source.yaml_events import YamlFault, parse


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
