"""revert.py: which commits are taken back, and to what."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from muster.kinds.errors import Refused
from muster.source.load import Loader
from muster.source.revert import plan_revert, write_revert
from scratch_fleet import fleet_files, release_yaml
from scratch_repository import commit_all, git, write

AUTHOR = "Ada <ada@example.org>"
AT = datetime(2026, 1, 1, tzinfo=UTC)
NEW = "releases/reader/1.1.0.yaml"


@pytest.fixture
def repository(repository_with):
    return repository_with(fleet_files())


def declare(repository, cohorts, subject, **more):
    write(repository.path, {NEW: release_yaml("1.1.0", cohorts=cohorts), **more})
    return commit_all(repository.path, subject)


def test_back_to_absent(repository):
    """A release that came with its first percentage goes, and all commits since are named, newest first."""
    first = declare(repository, {"canary": "5%"}, "canary")
    second = declare(repository, {"canary": "100%", "fleet": "5%"}, "widen")
    write(repository.path, {"README.md": "unrelated"})
    head = commit_all(repository.path, "unrelated")
    revert = plan_revert(repository, head, NEW, "a quarter of the contrast")
    assert revert.changes == {NEW: None}
    assert [commit.commit for commit in revert.reverted] == [second, first]
    assert revert.message.startswith("Revert reader/1.1.0: 2 commits\n\nThis reverts commit " + second)
    assert f"This reverts commit {first}." in revert.message
    assert "a quarter of the contrast" in revert.message


def test_back_to_nought(repository):
    """A release that was declared at 0% first stays declared, byte for byte as it was."""
    before = declare(repository, {"canary": "0%"}, "declare")
    content = repository.show_file(before, NEW)
    head = declare(repository, {"canary": "5%"}, 'say "hello"')
    revert = plan_revert(repository, head, NEW, "")
    assert revert.changes == {NEW: content}
    assert [commit.commit for commit in revert.reverted] == [head]
    assert revert.message.startswith(f'Revert "say "hello""\n\nThis reverts commit {head}.\n')


def test_newest_state_that_reached_nobody(repository):
    """After up, down and up again, only the last way up is taken back."""
    declare(repository, {"canary": "5%"}, "up")
    down = declare(repository, {}, "down")
    head = declare(repository, {"canary": "25%"}, "up again")
    revert = plan_revert(repository, head, NEW, "")
    assert revert.changes == {NEW: repository.show_file(down, NEW)}
    assert [commit.subject for commit in revert.reverted] == ["up again"]


def test_a_merge_counts_as_one_commit(repository):
    """On first parents, a merged branch is taken back as its merge."""
    git(repository.path, "checkout", "-q", "-b", "side")
    declare(repository, {"canary": "0%"}, "declare")
    declare(repository, {"canary": "5%"}, "up")
    git(repository.path, "checkout", "-q", "main")
    git(repository.path, "merge", "-q", "--no-ff", "-m", "merge it", "side")
    head = repository.resolve("HEAD")
    revert = plan_revert(repository, head, NEW, "")
    assert revert.changes == {NEW: None}
    assert [commit.commit for commit in revert.reverted] == [head]
    assert (
        f"This reverts commit {head}, reversing\nchanges made to {head and revert.reverted[0].parents[0]}."
        in revert.message
    )


def test_a_broken_state_is_not_returned_to(repository):
    """A commit whose release did not load is no state to go back to."""
    good = declare(repository, {}, "declare")
    write(repository.path, {NEW: "a: [\n"})
    commit_all(repository.path, "break")
    head = declare(repository, {"canary": "5%"}, "mend and widen")
    revert = plan_revert(repository, head, NEW, "")
    assert revert.changes == {NEW: repository.show_file(good, NEW)}
    assert len(revert.reverted) == 2


def test_reverting_twice_and_reverting_a_revert(repository):
    """A revert leaves nothing to revert; a re-revert can be taken back like anything else."""
    head = declare(repository, {"canary": "5%"}, "up")
    revert = plan_revert(repository, head, NEW, "")
    when = datetime(2026, 1, 1, tzinfo=UTC)
    reverted = repository.commit_files(head, revert.changes, revert.message, "Ada <a@b>", when)
    assert Loader().commit(repository, reverted).fleet is not None
    with pytest.raises(Refused, match="not declared"):
        plan_revert(repository, reverted, NEW, "")
    again = repository.commit_files(
        reverted, {NEW: repository.show_file(head, NEW)}, "Revert the revert", "Ada <a@b>", when
    )
    assert [commit.subject for commit in plan_revert(repository, again, NEW, "").reverted] == ["Revert the revert"]


def test_nothing_to_take_back(repository):
    """A release at 0%, an undeclared one and a path that is no release are refused."""
    head = declare(repository, {}, "declare")
    with pytest.raises(Refused, match="reaches no device"):
        plan_revert(repository, head, NEW, "")
    for path in ("releases/reader/9.9.9.yaml", "policies/default.yaml"):
        with pytest.raises(Refused, match="not declared"):
            plan_revert(repository, head, path, "")


def test_written_revert(repository):
    """The commit lies on top of `head` and on no branch; it is the same again; its fleet is without the release."""
    head = declare(repository, {"canary": "5%"}, "canary")
    revert = plan_revert(repository, head, NEW, "")
    made = write_revert(repository, Loader(), revert, head, AUTHOR, AT)
    assert made == write_revert(repository, Loader(), revert, head, AUTHOR, AT)
    assert made.changes == {NEW: None}
    assert [release.version for release in made.fleet.releases] == ["1.0.0"]
    assert repository.log(None, 1, made.commit)[0].parents == (head,)
    assert repository.resolve("main") == head


def test_a_release_that_another_supersedes_stays_at_nought(repository):
    """A file that others name cannot go: it stays as it is, comments too, and reaches nobody."""
    declare(repository, {"canary": "5%"}, "canary")
    newest = release_yaml("1.2.0", cohorts={"canary": "0%"}).replace(
        "  source:\n", '  supersedes: "1.1.0"\n  source:\n', 1
    )
    text = (repository.path / NEW).read_text().replace("    cohorts:", "    # who goes first\n    cohorts:")
    write(repository.path, {"releases/reader/1.2.0.yaml": newest, NEW: text})
    head = commit_all(repository.path, "next")
    made = write_revert(repository, Loader(), plan_revert(repository, head, NEW, ""), head, AUTHOR, AT)
    left = made.fleet.release("reader/1.1.0")
    assert not left.spec.rollout.reaches_any
    assert repository.show_file(made.commit, NEW) == made.changes[NEW]
    assert b"# who goes first" in made.changes[NEW]


def test_a_revert_that_leaves_nothing_is_refused(repository):
    """Neither without the file nor with it at nought is there a model left: the refusal says where."""
    head = repository.resolve("HEAD")
    revert = plan_revert(repository, head, "releases/reader/1.0.0.yaml", "")
    with pytest.raises(Refused, match=r"the revert of releases/reader/1\.0\.0\.yaml does not pass") as refused:
        write_revert(repository, Loader(), revert, head, AUTHOR, AT)
    assert "would be left without" in refused.value.message
    assert repository.resolve("HEAD") == head
