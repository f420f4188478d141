"""What a pull request may hold: past these bounds it is refused at once, and below them nothing takes long."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.check.judgement import Judgement
from muster.kinds.errors import Refused
from muster.review.gather import MOST_JUDGED
from muster.review.history import MOST_FOLLOWED
from muster.review.texts import MOST
from muster.source.load import Loader
from reviews import Proposal
from scratch_fleet import fleet_files, release_yaml
from scratch_repository import git

REST = {"canary": "0%", "fleet": "0%"}


def _releases(number: int) -> dict[str, str | bytes]:
    return {f"releases/reader/2.{index}.0.yaml": release_yaml(f"2.{index}.0", cohorts=REST) for index in range(number)}


def _kinds(judgement: Judgement) -> list[str]:
    return [item.kind for item in judgement.change.items]


def test_too_many_files_of_ours_are_refused_unread(tmp_path: Path) -> None:
    """Two thousand files of ours are parsed in seconds; more are not begun with."""
    proposal = Proposal(tmp_path / "fleet", fleet_files())
    proposal.change({f"docs/notes/{index}.md": f"{index}\n" for index in range(MOST + 1)})
    loader = Loader()

    with pytest.raises(Refused, match="files of ours change"):
        proposal.review(loader)

    assert loader.parsed == 0


def test_too_many_releases_are_refused(tmp_path: Path) -> None:
    """Every gate is asked about every release: more than two hundred at once are nobody's review."""
    proposal = Proposal(tmp_path / "fleet", fleet_files())
    proposal.change({**_releases(MOST_JUDGED)})
    assert _kinds(proposal.review()) == ["added"] * MOST_JUDGED

    proposal.change({"releases/reader/3.0.0.yaml": release_yaml("3.0.0", cohorts=REST)})

    with pytest.raises(Refused, match="201 releases change, more than 200"):
        proposal.review()


def test_only_so_many_histories_are_walked(tmp_path: Path) -> None:
    """Each is a walk through the history of the base. Without one, a removal is not recognised as a revert."""
    proposal = Proposal(tmp_path / "fleet", fleet_files())
    git(proposal.folder, "checkout", "-q", "main")
    proposal.on_main(_releases(MOST_FOLLOWED + 5))
    git(proposal.folder, "reset", "-q", "--hard", "main")
    came = proposal.repository.resolve("main")
    said = "".join(f"This reverts commit {number:040x}.\n" for number in range(500))
    proposal.change(dict.fromkeys(_releases(MOST_FOLLOWED + 5)), f"Revert\n\nThis reverts commit {came}.\n{said}")

    kinds = _kinds(proposal.review())

    assert (kinds.count("reverted"), kinds.count("removed")) == (MOST_FOLLOWED, 5)
