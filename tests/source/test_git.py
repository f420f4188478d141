"""git.py on real scratch repositories."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

import pytest

from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.source import git_program
from muster.source.git import Repository, check_branch, check_path, make_repository
from muster.source.git_program import run_git
from muster.source.layout import leaves_the_tree
from scratch_repository import commit_all, git, write

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADA = "Ada <ada@example.org>"


@pytest.fixture
def repository(repository_with):
    return repository_with({"a.txt": "one\n", "folder/b.txt": "two\n"})


@pytest.fixture
def mirror(repository, tmp_path):
    return Repository.mirror(str(repository.path), tmp_path / "state" / "mirror")


@pytest.fixture
def bare(repository, tmp_path):
    """A bare remote with the same history, and its mirror."""
    git(tmp_path, "clone", "-q", "--bare", str(repository.path), "remote")
    return Repository(tmp_path / "remote"), Repository.mirror(str(tmp_path / "remote"), tmp_path / "bare-mirror")


def test_read_tree_and_blobs(repository):
    """A commit's files come with mode, id, size and content."""
    head = repository.resolve("HEAD")
    entries = repository.tree(head)
    assert [(e.mode, e.size, e.path) for e in entries] == [("100644", 4, "a.txt"), ("100644", 4, "folder/b.txt")]
    assert {entries[0].blob: b"one\n", entries[1].blob: b"two\n"} == repository.blobs([e.blob for e in entries] * 2)
    assert [e.path for e in repository.tree(head, ["folder"])] == ["folder/b.txt"]
    assert repository.show_file(head, "folder/b.txt") == b"two\n"
    assert repository.show_file(head, "folder") is None
    assert repository.show_file(head, "none.txt") is None
    assert repository.blobs([]) == {}


def test_found_from_a_subfolder(repository):
    """Any folder of the work tree names the repository."""
    assert repository.path == Repository(repository.path / "folder").path


@pytest.mark.parametrize(
    "revision", ["-h", "--all", "", "no-such", "HEAD\n", "a" * 300, "HEAD:a.txt", "\x1b[31m", "0" * 40]
)
def test_bad_revisions(repository, revision):
    """What is no commit is refused with a hint; nothing is taken for an option."""
    with pytest.raises(Unusable) as error:
        repository.resolve(revision)
    assert error.value.hint
    assert error.value.message.isprintable()


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "a//b", ".git/config", "a/.GIT/x", "-x", "", "a\0b", "a\\b"])
def test_bad_paths(path):
    """No path leaves the tree, reaches git's own folder or could be misread; callers and trees are held to one rule."""
    assert leaves_the_tree(path)
    with pytest.raises(Refused):
        check_path(path)


@pytest.mark.parametrize(
    "branch", ["-f", "a..b", "a b", "refs@{1}", "x.lock", "a/.b", "a:b", "", "+main", "a//b", "^a"]
)
def test_bad_branches(branch):
    """A branch's name cannot be an option, a refspec or a revision expression."""
    with pytest.raises(Unusable):
        check_branch(branch)


def test_not_a_repository(tmp_path):
    """A plain folder and a missing one are named."""
    with pytest.raises(Unusable, match="not a git repository"):
        Repository(tmp_path)
    with pytest.raises(Unusable, match="no such folder"):
        Repository(tmp_path / "none")


def test_missing_blob_is_named(repository):
    """A blob that is not there is an error, not an empty file."""
    with pytest.raises(Unusable, match="missing or damaged"):
        repository.blobs(["1" * 40])
    with pytest.raises(Unusable, match="not a full object id"):
        repository.blobs(["HEAD"])


def test_commit_files_is_reproducible(repository):
    """The same input gives the same commit; index, work tree and branch stay as they were."""
    head = repository.resolve("HEAD")
    changes = {"a.txt": None, "new/c.txt": b"three\n", "folder/b.txt": b"2\n"}
    first = repository.commit_files(head, changes, "why\n\nbecause\n", ADA, AT)
    assert first == repository.commit_files(head, changes, "why\n\nbecause\n", ADA, AT)
    assert [entry.path for entry in repository.tree(first)] == ["folder/b.txt", "new/c.txt"]
    assert head == repository.resolve("HEAD")
    assert git(repository.path, "status", "--porcelain") == ""
    (info, parent) = repository.log(None, 5, first)
    assert (info.subject, info.body, info.author, info.at) == ("why", "because", ADA, AT)
    assert ((head,), head, ()) == (info.parents, parent.commit, parent.parents)


@pytest.mark.parametrize(
    ("changes", "message", "author"),
    [
        ({"a.txt": b"one\n"}, "same", ADA),
        ({"../x": b""}, "leaves", ADA),
        ({"a.txt": b""}, " ", ADA),
        ({"a.txt": b""}, "m", "Ada"),
        ({"a.txt": b""}, "m", "A\n <a@b>"),
    ],
    ids=["nothing changes", "path leaves", "no message", "no address", "line break in the author"],
)
def test_commit_files_refuses(repository, changes, message, author):
    """A commit that changes nothing or could not be read back is refused."""
    with pytest.raises((Refused, Unusable)):
        repository.commit_files(repository.resolve("HEAD"), changes, message, author, AT)


def test_log_of_a_path_and_first_parents(repository):
    """`log` names the commits that touch a path; on first parents, a merge counts as one."""
    git(repository.path, "checkout", "-q", "-b", "side")
    write(repository.path, {"a.txt": "side\n"})
    commit_all(repository.path, "on the side")
    git(repository.path, "checkout", "-q", "main")
    git(repository.path, "merge", "-q", "--no-ff", "-m", "merged", "side")
    assert [info.subject for info in repository.log("a.txt", 10)] == ["on the side", "first"]
    assert [info.subject for info in repository.log("a.txt", 10, first_parent=True)] == ["merged", "first"]
    assert [info.subject for info in repository.log("folder/b.txt", 10)] == ["first"]
    assert len(repository.log(None, 1)) == 1


def test_mirror_follows_its_origin(repository, mirror):
    """A mirror has the origin's branches after each fetch, forced moves and deletions too, and is found again."""
    assert mirror.bare
    assert repository.resolve("main") == mirror.resolve("HEAD")
    git(repository.path, "branch", "topic")
    write(repository.path, {"a.txt": "later\n"})
    later = commit_all(repository.path)
    mirror.fetch()
    assert later == mirror.resolve("main")
    assert mirror.resolve("topic")
    git(repository.path, "reset", "-q", "--hard", "HEAD~1")
    git(repository.path, "branch", "-D", "topic")
    again = Repository.mirror(str(repository.path), mirror.path)
    assert later == again.resolve("main")
    again.fetch()
    assert repository.resolve("main") == again.resolve("main")
    with pytest.raises(Unusable):
        again.resolve("topic")


def test_mirror_takes_the_origins_default_branch(tmp_path):
    """HEAD of a mirror is the origin's HEAD, whatever it is called."""
    folder = tmp_path / "origin"
    folder.mkdir()
    make_repository(folder, "trunk")
    write(folder, {"a": "1"})
    head = commit_all(folder)
    assert head == Repository.mirror(str(folder), tmp_path / "mirror").resolve("HEAD")


def test_mirror_of_another_origin_is_refused(mirror, tmp_path):
    """One mirror never mixes two origins."""
    with pytest.raises(Refused, match="mirrors"):
        Repository.mirror(str(tmp_path), mirror.path)


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "-u", "fd::17", "gopher://x/y", "https://x y", "ssh://-oProxyCommand=x/y"]
)
def test_hostile_urls(tmp_path, url):
    """A URL that would run a program or be taken for an option never reaches git."""
    with pytest.raises(Unusable):
        Repository.mirror(url, tmp_path / "mirror")
    assert not (tmp_path / "mirror").exists()


def test_origin_away(mirror, repository):
    """A fetch from an origin that is gone may work later, and the mirror still answers."""
    repository.path.rename(repository.path.with_name("away"))
    with pytest.raises(TryAgain):
        mirror.fetch()
    assert mirror.resolve("main")


def test_secrets_in_urls_are_not_shown(tmp_path):
    """Complaints name the remote without its password."""
    with pytest.raises(TryAgain) as error:
        Repository.mirror("http://user:hunter2@127.0.0.1:1/fleet.git", tmp_path / "mirror")
    assert "hunter2" not in error.value.message


def test_push_to_a_bare_origin(bare):
    """A push moves the branch once; again it holds; after somebody else's move it is refused."""
    origin, mirror = bare
    head = mirror.resolve("main")
    commit = mirror.commit_files(head, {"a.txt": b"pushed\n"}, "m", ADA, AT)
    mirror.push(commit, "main", head)
    assert commit == origin.resolve("main")
    mirror.push(commit, "main", head)
    other = mirror.commit_files(head, {"a.txt": b"other\n"}, "m", ADA, AT)
    with pytest.raises(Refused, match="no longer at"):
        mirror.push(other, "main", head)
    with pytest.raises(Refused, match="does not descend"):
        mirror.push(other, "main", commit)
    assert commit == origin.resolve("main")


def test_push_that_the_origin_declines(bare):
    """A hook of the origin decides there, and its reason is passed on."""
    origin, mirror = bare
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    head = mirror.resolve("main")
    with pytest.raises(Refused, match="hook declined"):
        mirror.push(mirror.commit_files(head, {"a.txt": b"x"}, "m", ADA, AT), "main", head)


def test_push_to_a_work_tree(repository, mirror):
    """The branch, the index and the files move together; changes in other files stay."""
    head = mirror.resolve("main")
    write(repository.path, {"folder/b.txt": "mine\n"})
    commit = mirror.commit_files(head, {"a.txt": b"pushed\n"}, "m", ADA, AT)
    mirror.push(commit, "main", head)
    assert commit == repository.resolve("main")
    assert (repository.path / "a.txt").read_text() == "pushed\n"
    assert git(repository.path, "status", "--porcelain") == "M folder/b.txt"
    mirror.push(commit, "main", head)


def test_push_to_a_dirty_work_tree(repository, mirror):
    """Uncommitted changes in the same file are kept, and the push is refused with the way out."""
    head = mirror.resolve("main")
    write(repository.path, {"a.txt": "mine\n"})
    commit = mirror.commit_files(head, {"a.txt": b"pushed\n"}, "m", ADA, AT)
    with pytest.raises(Refused, match="changes of its own") as error:
        mirror.push(commit, "main", head)
    assert "stash" in error.value.hint
    assert (head, "mine\n") == (repository.resolve("main"), (repository.path / "a.txt").read_text())


def test_push_to_a_work_tree_that_moved_on(repository, mirror):
    """A commit made meanwhile is never overtaken."""
    head = mirror.resolve("main")
    write(repository.path, {"a.txt": "later\n"})
    later = commit_all(repository.path)
    with pytest.raises(Refused, match="no longer at"):
        mirror.push(mirror.commit_files(head, {"a.txt": b"x"}, "m", ADA, AT), "main", head)
    assert later == repository.resolve("main")


def test_push_to_a_locked_work_tree(repository, mirror):
    """A lock is somebody at work: try again."""
    head = mirror.resolve("main")
    (repository.path / ".git" / "index.lock").touch()
    with pytest.raises(TryAgain, match="locked"):
        mirror.push(mirror.commit_files(head, {"a.txt": b"x"}, "m", ADA, AT), "main", head)


def test_push_to_a_branch_that_is_not_checked_out(repository, mirror):
    """Any other branch of a work tree's repository is pushed like to a bare one."""
    head = mirror.resolve("main")
    git(repository.path, "checkout", "-q", "-b", "elsewhere")
    commit = mirror.commit_files(head, {"a.txt": b"x"}, "m", ADA, AT)
    mirror.push(commit, "main", head)
    assert commit == repository.resolve("main")
    assert (repository.path / "a.txt").read_text() == "one\n"


def test_hooks_and_monitors_do_not_run(repository, tmp_path):
    """Nothing that a repository configures is executed."""
    trap = tmp_path / "ran"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n")
    script.chmod(0o755)
    hooks = repository.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-merge", "reference-transaction", "post-index-change", "post-checkout"):
        (hooks / name).write_text(script.read_text())
        (hooks / name).chmod(0o755)
    for setting in ("core.fsmonitor", "core.pager", "core.sshCommand", "gpg.program"):
        git(repository.path, "config", setting, str(script))
    git(repository.path, "config", "log.showSignature", "true")
    head = repository.resolve("HEAD")
    commit = repository.commit_files(head, {"a.txt": b"x"}, "m", ADA, AT)
    repository.advance(commit, "main", head)
    repository.log(None, 3)
    assert (repository.path / "a.txt").read_text() == "x"
    assert not trap.exists()


def test_git_variables_of_the_caller_do_not_leak(repository, tmp_path, monkeypatch):
    """Inside a git hook, GIT_DIR and friends point elsewhere; they are not followed."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    assert repository.resolve("HEAD") == Repository(repository.path).resolve("HEAD")


def test_output_is_bounded(repository):
    """An answer that is larger than allowed ends git and is refused."""
    with pytest.raises(Refused, match="more than 3 bytes"):
        repository.git("log", limit=3)


def test_tree_bomb_is_bounded(repository):
    """Ten levels of ten times the same subtree name 10¹⁰ files; reading stops at the bound."""
    blob = git(repository.path, "hash-object", "-w", "--stdin", given=b"x")
    tree = git(repository.path, "mktree", given="".join(f"100644 blob {blob}\tf{i}\n" for i in range(10)).encode())
    for _ in range(9):
        tree = git(repository.path, "mktree", given="".join(f"040000 tree {tree}\td{i}\n" for i in range(10)).encode())
    with pytest.raises(Refused, match="git ls-tree answers with more"):
        repository.tree(git(repository.path, "commit-tree", tree, "-m", "bomb"))


def test_deadline(tmp_path, monkeypatch):
    """A git that hangs is ended with its children; the call may be tried again."""
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec 0<&-\nread line < fifo\n")
    program.chmod(0o755)
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TryAgain, match="did not answer in time"):
        run_git(["status"], tmp_path, seconds=0.05)
    assert threading.active_count() == 1


def test_no_git_program(tmp_path, monkeypatch):
    """Without git the message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unusable, match="not installed"):
        run_git(["status"], tmp_path)


def test_printable():
    """Control characters never reach a terminal."""
    assert git_program.printable("a\x1b[31mb\n\ud800é") == "a\\x1b[31mb\\n\\ud800é"
