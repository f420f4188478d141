"""Hostile pull requests: none executes anything, all end in findings, and the repository stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.kinds.errors import Refused
from muster.source.load import Loader
from reviews import Proposal, failing
from scratch_fleet import fleet_files, release_yaml
from scratch_repository import commit_all, git, write


@pytest.fixture
def proposal(tmp_path: Path) -> Proposal:
    """A small valid fleet on main."""
    return Proposal(tmp_path / "fleet", fleet_files())


@pytest.mark.parametrize(
    "where", ["releases/reader/2.0.0.yaml", "evidence/x.json", "docs/diagrams/context.mmd", "evidence", "policies/keys"]
)
def test_a_link_is_a_finding(proposal: Proposal, where: str) -> None:
    """A symbolic link where files of ours stand is named, and its target is not read."""
    (proposal.folder / where).parent.mkdir(parents=True, exist_ok=True)
    (proposal.folder / where).symlink_to("/etc/passwd")
    commit_all(proposal.folder)

    judgement = proposal.review()

    assert failing(judgement) & {"change/link", "document/link"}
    assert "root:" not in repr(judgement)


def test_a_submodule_is_a_finding(proposal: Proposal) -> None:
    """A submodule below our folders is named; nothing is fetched for it."""
    commit = git(proposal.folder, "rev-parse", "HEAD")
    git(proposal.folder, "update-index", "--add", "--cacheinfo", f"160000,{commit},releases/other")
    git(proposal.folder, "commit", "-q", "-m", "submodule")

    assert "change/link" in failing(proposal.review())


def test_attributes_run_no_filter(proposal: Proposal, tmp_path: Path) -> None:
    """A filter and a merge driver that the head declares are not run, and the file is a finding of its own."""
    proof = tmp_path / "ran"
    git(proposal.folder, "config", "filter.evil.smudge", f"touch {proof}; cat")
    git(proposal.folder, "config", "filter.evil.clean", "cat")
    git(proposal.folder, "config", "merge.evil.driver", f"touch {proof}; true")
    text = release_yaml(version="2.0.0")
    proposal.change({".gitattributes": "*.yaml filter=evil merge=evil -diff\n", "releases/reader/2.0.0.yaml": text})
    proof.unlink(missing_ok=True)

    judgement = proposal.review()

    assert not proof.exists()
    assert "weakening/attributes" in failing(judgement)


def test_ten_thousand_files_are_judged(proposal: Proposal) -> None:
    """Ten thousand files outside of our folders cost no parsing; a change without bounds is refused."""
    write(proposal.folder, {f"junk/{number}.txt": f"{number}\n" for number in range(10_000)})
    commit_all(proposal.folder)
    loader = Loader()

    proposal.review(loader)

    assert loader.parsed < 10


def test_a_change_without_bounds_is_refused(proposal: Proposal) -> None:
    """More than 20,000 changed files are nobody's review."""
    write(proposal.folder, {f"junk/{number // 500}/{number}.txt": f"{number}\n" for number in range(20_001)})
    commit_all(proposal.folder)

    with pytest.raises(Refused, match="files differ from the base"):
        proposal.review()


@pytest.mark.parametrize(
    "letter", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad"], ids=["rlo", "lri", "zwsp", "bom", "shy"]
)
def test_text_that_reads_otherwise_is_a_finding(proposal: Proposal, letter: str) -> None:
    """Bidi controls and invisible characters in a file of ours are named with their line."""
    text = release_yaml(version="2.0.0").replace("# Percentages", f"# Percen{letter}tages")
    proposal.change({"releases/reader/2.0.0.yaml": text})

    judgement = proposal.review()

    found = [verdict for verdict in judgement.verdicts if verdict.rule in ("change/unseen", "change/yaml")]
    assert found
    assert found[0].place is not None
    assert found[0].place.line > 1


@pytest.mark.parametrize("path", ["releases/re\u0430der/1.0.0.yaml", "docs/\u202egnp.mmd"], ids=["cyrillic a", "rlo"])
def test_a_name_that_looks_like_another_is_a_finding(proposal: Proposal, path: str) -> None:
    """A path with a letter that can be taken for another is refused, and shown escaped."""
    proposal.change({path: release_yaml()})

    judgement = proposal.review()

    found = [verdict for verdict in judgement.verdicts if verdict.rule == "change/path" and verdict.blocks]
    assert any("\\u" in verdict.subject and verdict.subject.isascii() for verdict in found)


def test_a_conflict_is_a_finding(proposal: Proposal) -> None:
    """Base and head that change the same lines are told apart before anything is judged."""
    proposal.change({"releases/reader/1.0.0.yaml": release_yaml().replace('"80%"', '"81%"')})
    proposal.on_main({"releases/reader/1.0.0.yaml": release_yaml().replace('"80%"', '"82%"')})

    assert "change/conflict" in failing(proposal.review())


def test_the_merge_result_is_judged_and_leaves_no_trace(proposal: Proposal) -> None:
    """Two sides that are fine alone and wrong together are refused; the repository gets no object from judging."""
    proposal.change({"releases/reader/1.1.0.yaml": release_yaml(version="1.1.0")})
    proposal.on_main({"releases/reader/1.1.1.yaml": release_yaml(version="1.1.1"), "policies/second.yaml": "a: 1\n"})
    objects = git(proposal.folder, "count-objects", "-v")

    judgement = proposal.review()

    assert objects == git(proposal.folder, "count-objects", "-v")
    assert judgement.request.head == git(proposal.folder, "rev-parse", "topic")


def test_merged_pins_are_immutable(proposal: Proposal) -> None:
    """An edited pin is refused, with the way out and the line."""
    text = str(fleet_files()["releases/reader/1.0.0.yaml"]).replace("opset: 21", "opset: 20")
    proposal.change({"releases/reader/1.0.0.yaml": text})

    judgement = proposal.review()

    found = next(verdict for verdict in judgement.verdicts if verdict.rule == "change/pins")
    assert found.blocks
    assert "add a new version" in found.hint
    assert found.place is not None
    assert found.place.line == 1 + text[: text.index("opset: 20")].count("\n")


def test_a_broken_base_does_not_block_its_mending(proposal: Proposal) -> None:
    """The newest base that loads judges, and the report says so."""
    proposal.on_main({"policies/default.yaml": "broken: [\n"})
    git(proposal.folder, "reset", "-q", "--hard", "main")
    proposal.change({"policies/default.yaml": str(fleet_files()["policies/default.yaml"])})

    judgement = proposal.review()

    assert judgement.notes
    assert "does not load" in judgement.notes[0]
    assert "change/yaml" not in failing(judgement)


def test_nothing_of_ours_changes(proposal: Proposal) -> None:
    """A change of other files is no change."""
    proposal.change({"README.txt": "hello\n"})

    assert proposal.review().outcome == "no-change"


@pytest.mark.parametrize(("opset", "found"), [("opset: 20", True), ("opset: 21", False)], ids=["edited", "restored"])
def test_a_version_that_was_deleted_keeps_its_pins(proposal: Proposal, opset: str, found: bool) -> None:
    """To delete a release and to add it again with other pins is an edit in two pull requests."""
    text = release_yaml("1.1.0", cohorts={})
    proposal.change({"releases/reader/1.1.0.yaml": text})
    proposal.change({"releases/reader/1.1.0.yaml": None})
    proposal.change({"notes.txt": "later\n"})
    git(proposal.folder, "branch", "-f", "main", "topic")
    proposal.change({"releases/reader/1.1.0.yaml": text.replace("opset: 21", opset)})

    judgement = proposal.review()

    assert ("change/pins" in failing(judgement)) == found
    assert all("spec.onnx.opset" in verdict.message for verdict in judgement.verdicts if verdict.rule == "change/pins")
