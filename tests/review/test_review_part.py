"""Reading a part of a fleet says the same of a change as reading all of it, and reads only what the change concerns."""

from __future__ import annotations

from pathlib import Path

from muster.source.load import Loader
from reviews import Proposal, failing
from scratch_fleet import fleet_files, release_yaml

REST = {"canary": "0%", "fleet": "0%"}


def _with_supersedes(text: str, version: str) -> str:
    return text.replace("  tier: research\n", f'  tier: research\n  supersedes: "{version}"\n')


def _resting_at(version: str) -> str:
    return release_yaml(version, cohorts=REST)


def _resting(number: int) -> dict[str, str | bytes]:
    versions = [f"0.{index}.0" for index in range(number)]
    return {f"releases/reader/{version}.yaml": _resting_at(version) for version in versions}


def test_what_a_new_release_supersedes_is_not_taken_for_new(tmp_path: Path) -> None:
    """A release that rests is read on both sides if the change refers to it: only the new one is added."""
    proposal = Proposal(tmp_path / "fleet", {**fleet_files(), **_resting(5)})
    new = _with_supersedes(release_yaml("1.1.0", cohorts=REST), "0.3.0")
    proposal.change({"releases/reader/1.1.0.yaml": new})

    judgement = proposal.review()

    assert [(item.kind, item.name) for item in judgement.change.items] == [("added", "reader/1.1.0")]


def test_cost_follows_the_change(tmp_path: Path) -> None:
    """With 300 resting releases and another model beside it, a new release parses no more than it concerns."""
    other = {"releases/other/1.0.0.yaml": release_yaml(model="other")}
    files = {
        path: str(text).replace("models: [reader]", "models: [reader, other]") for path, text in fleet_files().items()
    }
    proposal = Proposal(tmp_path / "fleet", {**files, **other, **_resting(300)})
    proposal.change({"releases/reader/1.1.0.yaml": release_yaml("1.1.0", cohorts=REST)})
    loader = Loader()

    proposal.review(loader)

    assert loader.parsed <= 10


def test_the_highest_tier_of_resting_releases_counts(tmp_path: Path) -> None:
    """A model is held to the tier of a release that rests, however many others do."""
    regulated = release_yaml("0.9.0", cohorts=REST).replace("tier: research", "tier: regulated")
    policy = str(fleet_files()["policies/default.yaml"])
    tier = policy[policy.index("    - name: research") :].replace("name: research", "name: regulated")
    files = {"policies/default.yaml": policy + tier, "releases/reader/0.9.0.yaml": regulated}
    proposal = Proposal(tmp_path / "fleet", {**fleet_files(), **_resting(50), **files})
    proposal.change({"releases/reader/1.1.0.yaml": release_yaml("1.1.0", cohorts=REST)})

    assert "approval/tier" in failing(proposal.review())


def test_a_class_left_without_its_model_is_found(tmp_path: Path) -> None:
    """Never converge to empty holds for the part that is read, too."""
    proposal = Proposal(tmp_path / "fleet", {**fleet_files(), **_resting(3)})
    proposal.change({"releases/reader/1.0.0.yaml": release_yaml("1.0.0", cohorts=REST)})

    assert "change/empty" in failing(proposal.review())


def test_words_that_look_like_a_rollout_at_rest_hide_nothing(tmp_path: Path) -> None:
    """A description that ends like a release at rest does not keep one that reaches devices from being read."""
    end = "  rollout:\n    cohorts:\n      canary: 0%\n      fleet: 0%\n"
    head, _, spec = release_yaml("2.0.0").partition("spec:\n")
    metadata = f' name: reader\n version: "2.0.0"\n description: |\n{end}'
    hidden = f"{head.partition('metadata:')[0]}spec:\n{spec}metadata:\n{metadata}"
    proposal = Proposal(tmp_path / "fleet", {**fleet_files(), **_resting(2), "releases/reader/2.0.0.yaml": hidden})
    proposal.change({"releases/reader/1.1.0.yaml": release_yaml("1.1.0", cohorts={"canary": "5%", "fleet": "0%"})})

    judgement = proposal.review()

    assert {row.now for row in judgement.rows} == {(("reader/2.0.0", 1_000_000),)}


def test_what_others_supersede_cannot_go(tmp_path: Path) -> None:
    """Though these others are at rest: merged, the fleet would not load any more."""
    later = {f"releases/reader/0.{n}.5.yaml": _with_supersedes(_resting_at(f"0.{n}.5"), "0.0.0") for n in (1, 2)}
    proposal = Proposal(tmp_path / "fleet", {**fleet_files(), **_resting(5), **later})
    proposal.change({"releases/reader/0.0.0.yaml": None})

    assert "change/dangling" in failing(proposal.review())
