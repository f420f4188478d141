"""The driver for plain git, on scratch repositories whose base declares people and their approval keys."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
from forge_conformance import AUTHOR, BODY, REVIEWERS, TITLE, ForgeConformance

from muster.attest.keys import new_private_key, public_half
from muster.forge.forge import MARKER
from muster.forge.git.approvals import LONGEST_LINE, approve, with_signed
from muster.forge.git.driver import PlainGit, from_repository
from muster.forge.git.notes import APPROVALS, STATUSES, VERDICTS, append_note
from muster.kinds.errors import Refused, Unusable
from muster.kinds.fleet import Fleet
from muster.kinds.owners import Owners
from muster.kinds.pull_request import Approval, PullRequest
from muster.kinds.signing_key import SigningKey
from muster.source.git import Repository
from muster.source.load import Loader
from scratch_fleet import COHORTS, POLICY
from scratch_repository import commit_all, git, repository_of, write

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
KEYS = {person: new_private_key() for person in (AUTHOR, *REVIEWERS, "mallory")}


def people(*names: str) -> str:
    """policies/owners.yaml, with an address and an approval key for each."""
    entries = "".join(
        f"    - login: {name}\n      addresses: [{name}@example.org]\n      approvalKeys: [{name}]\n" for name in names
    )
    return (
        "# yaml-language-server: $schema=../schemas/owners.json\n"
        "apiVersion: muster/v1\nkind: Owners\nmetadata:\n  name: owners\n"
        f"spec:\n  people:\n{entries}  policyOwners: [{names[0]}]\n"
    )


def key_file(name: str, uses: str = "approvals") -> str:
    """policies/keys/<name>.yaml"""
    pem = textwrap.indent(public_half(KEYS[name]), "    ")
    return (
        "# yaml-language-server: $schema=../../schemas/signing-key.json\n"
        f"apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: {name}\n"
        f"spec:\n  publicKey: |\n{pem}  uses: [{uses}]\n"
    )


def base_files() -> dict[str, str]:
    """A fleet that loads, with three people."""
    names = (AUTHOR, *REVIEWERS)
    return {
        **{path: textwrap.dedent(text) for path, text in COHORTS.items()},
        "policies/default.yaml": textwrap.dedent(POLICY),
        "policies/owners.yaml": people(*names),
        **{f"policies/keys/{name}.yaml": key_file(name) for name in names},
    }


class GitSite:
    """A repository with a branch of two commits."""

    def __init__(self, folder: Path) -> None:
        self.repository = repository_of(folder / "fleet", base_files())
        self.folder = self.repository.path
        self.base = git(self.folder, "rev-parse", "HEAD")
        git(self.folder, "switch", "-q", "-c", "promote")
        write(self.folder, {"notes.txt": "one"})
        commit_all(self.folder, "Prepare")
        self.push(f"{TITLE}\n\n{BODY}")
        self.forge = driver(self.repository)
        self.reference = "main..promote"

    def heads(self) -> tuple[str, str]:
        return self.base, git(self.folder, "rev-parse", "promote")

    def approve(self, person: str) -> None:
        approve(self.repository, Approval(person, self.heads()[1], AT), KEYS[person])

    def withdraw(self, person: str) -> None:
        assert person == REVIEWERS[0]
        note = git(self.folder, "notes", f"--ref={APPROVALS}", "show", "promote")
        first, *others = [line for line in note.split("\n") if line.strip()]
        git(self.folder, "notes", f"--ref={APPROVALS}", "add", "-f", "-m", "\n".join(others), "promote")
        assert first not in others

    def add_branch(self, branch: str) -> None:
        git(self.folder, "branch", branch, "promote")

    def push(self, message: str = "More") -> None:
        write(self.folder, {"notes.txt": message})
        commit_all(self.folder, message)

    def comments(self) -> list[str]:
        note = git(self.folder, "notes", f"--ref={VERDICTS}", "show", "promote")
        return [part.strip("\n") for part in note.split(MARKER)[1:] if part.strip()]

    def checks(self) -> dict[str, tuple[str, str]]:
        shown = git(self.folder, "log", "-1", "--format=%N", f"--notes={VERDICTS.removeprefix('refs/notes/')}")
        lines = [line for line in shown.partition(MARKER)[0].split("\n") if line]
        parts = [line.split(None, 1) for line in lines]
        return {text.partition(": ")[0]: (conclusion, text.partition(": ")[2]) for conclusion, text in parts}

    def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        shown = git(self.folder, "log", "-1", "--format=%N", f"--notes={STATUSES.removeprefix('refs/notes/')}", commit)
        lines = [line.split("\t") for line in shown.splitlines() if line]
        return {context: (state, description) for state, context, description in lines}


def driver(repository: Repository) -> PlainGit:
    """A driver with a fixed clock."""
    return from_repository(repository, lambda: AT)


class TestPlainGit(ForgeConformance):
    def make_site(self, folder: Path) -> GitSite:
        return GitSite(folder)


@pytest.fixture
def site(tmp_path: Path) -> GitSite:
    return GitSite(tmp_path)


def approvals(site: GitSite) -> list[tuple[str, str]]:
    """Who approved what, as the driver reads it."""
    return [(approval.by, approval.of) for approval in site.forge.read(site.reference).approvals]


def test_the_head_alone_is_a_reference(site: GitSite) -> None:
    """The base is then the configured one."""
    assert site.forge.read("promote") == site.forge.read("main..promote")


def test_everyone_who_wrote_a_commit_is_an_author(site: GitSite) -> None:
    """A reviewer who added a commit does not approve it, even though the head is by somebody else."""
    write(site.folder, {"more.txt": "ben"})
    git(site.folder, "add", "-A")
    git(site.folder, "commit", "-q", "--author=Ben <BEN@example.org>", "-m", "By ben")
    site.push("By ada")
    site.approve("ben")
    site.approve("cyd")
    request = site.forge.read(site.reference)
    assert request.author == AUTHOR
    assert "ben" in {commit.author for commit in request.commits}
    assert [approval.by for approval in request.approvals] == ["cyd"]


def test_an_unknown_address_stays_an_address(site: GitSite) -> None:
    """Nobody is taken for a person whom the base does not know."""
    write(site.folder, {"more.txt": "x"})
    git(site.folder, "add", "-A")
    git(site.folder, "commit", "-q", "--author=ada <somebody@else.example>", "-m", "By a stranger")
    assert site.forge.read(site.reference).author == "somebody@else.example"


def test_narrowed_approvals(site: GitSite) -> None:
    """One person may approve several things, each for itself; the change is not among them unless said."""
    head = site.heads()[1]
    for of in ("checklist/security-review", "freeze/winter"):
        approve(site.repository, Approval("ben", head, AT, of), KEYS["ben"])
    assert approvals(site) == [("ben", "checklist/security-review"), ("ben", "freeze/winter")]


@pytest.mark.parametrize(
    "of", ["/", "checklist/", "Checklist/x", "checklist/../x", "x\ny", "a/b/c", "x" * 200], ids=repr
)
def test_only_known_forms_can_be_approved(site: GitSite, of: str) -> None:
    """Anything else is refused before it is signed."""
    with pytest.raises(Unusable):
        approve(site.repository, Approval("ben", site.heads()[1], AT, of), KEYS["ben"])


def sign_as(site: GitSite, by: str, key: str) -> None:
    """`by` is claimed, `key` signs."""
    approve(site.repository, Approval(by, site.heads()[1], AT), KEYS[key])


FORGED = {
    "signed by somebody else's key": ("ben", "cyd"),
    "signed by a key that nobody declared": ("ben", "mallory"),
    "claimed by somebody without a key": ("mallory", "ben"),
}


@pytest.mark.parametrize(("by", "key"), FORGED.values(), ids=FORGED)
def test_forged_approvals_do_not_count(site: GitSite, by: str, key: str) -> None:
    """An approval counts only if one of that very person's keys signed it."""
    sign_as(site, by, key)
    assert approvals(site) == []


def test_an_approval_copied_to_another_commit_does_not_count(site: GitSite) -> None:
    """The statement names its commit, wherever the note is moved."""
    site.approve("ben")
    line = git(site.folder, "notes", f"--ref={APPROVALS}", "show", "promote")
    site.push()
    append_note(site.repository, APPROVALS, site.heads()[1], line, AT)
    assert approvals(site) == []


def test_noise_among_the_approvals(site: GitSite) -> None:
    """Lines that are no approvals, however hostile, neither count nor hide the others."""
    head = site.heads()[1]
    for noise in ("LGTM", "{}", '{"a":' * 400, "[" * 2_000, "x" * (LONGEST_LINE + 1), "\x1b[2J\u202e", "null"):
        append_note(site.repository, APPROVALS, head, noise, AT)
    site.approve("ben")
    append_note(site.repository, APPROVALS, head, "true", AT)
    assert approvals(site) == [("ben", "")]


def test_a_flood_of_lines_is_refused(site: GitSite) -> None:
    """More lines than people could write hold the change, with the ref to clean up."""
    append_note(site.repository, APPROVALS, site.heads()[1], "x\n" * 501, AT)
    with pytest.raises(Refused, match="500 lines"):
        site.forge.read(site.reference)


def test_a_huge_note_is_refused(site: GitSite) -> None:
    """It is not even read."""
    append_note(site.repository, APPROVALS, site.heads()[1], "x" * (2**20 + 1), AT)
    with pytest.raises(Refused, match="more than 1048576 bytes"):
        site.forge.read(site.reference)


def test_a_huge_verdict_note_is_replaced(site: GitSite) -> None:
    """Whoever floods the verdicts does not keep the next one from being shown."""
    append_note(site.repository, VERDICTS, site.heads()[1], "x" * (2**20 + 1), AT)
    site.forge.post_comment(site.forge.read(site.reference), "**passes**")
    assert site.comments() == ["**passes**"]


def test_people_and_keys_come_from_the_base(site: GitSite) -> None:
    """A key that the change itself declares approves nothing (the base judges the head)."""
    write(
        site.folder,
        {
            "policies/owners.yaml": people(AUTHOR, *REVIEWERS, "mallory"),
            "policies/keys/mallory.yaml": key_file("mallory"),
        },
    )
    commit_all(site.folder, "Add myself")
    sign_as(site, "mallory", "mallory")
    assert approvals(site) == []


@pytest.mark.parametrize(
    ("keys", "uses"),
    [({"ben": "ben", "cyd": "cyd"}, "evidence"), ({"ben": "ben", "cyd": "ben"}, "approvals"), ({"ben": "cyd"}, "")],
    ids=["declared for evidence", "shared by two people", "not declared"],
)
def test_keys_that_approve_nothing(site: GitSite, keys: dict[str, str], uses: str) -> None:
    """A key counts only if it is declared for approvals and is one person's alone: else it would speak for others."""
    people = [{"login": login, "approvalKeys": [key]} for login, key in keys.items()]
    owners = {"metadata": {"name": "owners"}, "spec": {"people": people, "policyOwners": ["ben"]}}
    key = {"publicKey": public_half(KEYS["ben"]), "uses": [uses or "approvals"]}
    declared = SigningKey.model_validate({"metadata": {"name": "ben"}, "spec": key})
    fleet = Fleet.of([Owners.model_validate(owners), declared], site.base)
    for login in keys:
        sign_as(site, login, "ben")
    forge = PlainGit(site.repository, lambda _: fleet, lambda: AT)
    assert forge.read(site.reference).approvals == ()


def test_too_many_commits(site: GitSite) -> None:
    """A change of more than 250 commits is refused rather than judged in part."""
    stream = b"".join(
        b"commit refs/heads/promote\ncommitter A <a@example.org> 1700000000 +0000\ndata 1\nx\n"
        + (b"from refs/heads/promote^0\n" if number == 0 else b"")
        for number in range(260)
    )
    git(site.folder, "fast-import", "--quiet", "--force", given=stream)
    with pytest.raises(Refused, match="250 commits"):
        site.forge.read(site.reference)


def test_an_empty_change(site: GitSite) -> None:
    """A branch without commits of its own has no author and no text."""
    request = site.forge.read("main..main")
    assert (request.author, request.title, request.body, request.commits) == (None, "", "", ())


def test_signed_approvals_stand_beside_a_forges_reviews(site: GitSite) -> None:
    """Where reviews approve only the change as a whole, one item is approved by signature; twice is once."""
    fleet = Loader().commit(site.repository, site.base).fleet_or_refuse("the base")
    head = site.heads()[1]
    for person in (AUTHOR, "ben", "cyd"):
        site.approve(person)
        approve(site.repository, Approval(person, head, AT, "checklist/offline"), KEYS[person])
    told = PullRequest(site.base, head, AUTHOR, approvals=(Approval("Ben", head, AT),), forge="github")
    request = with_signed(told, site.repository, fleet.owners, fleet.signing_keys)
    assert {(given.by, given.of) for given in request.approvals} == {
        ("Ben", ""),
        ("ben", "checklist/offline"),
        ("cyd", ""),
        ("cyd", "checklist/offline"),
    }
    assert request.forge == "github"


def test_two_approvers_merge_their_notes(tmp_path: Path, site: GitSite) -> None:
    """Approvals that were made apart are joined by git's own merge of lines."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(site.folder), "clone")
    head = site.heads()[1]
    approve(Repository(clone), Approval("cyd", head, AT), KEYS["cyd"])
    site.approve("ben")
    git(clone, "fetch", "-q", "origin", f"{APPROVALS}:refs/notes/theirs")
    git(clone, "notes", f"--ref={APPROVALS}", "merge", "-q", "-s", "cat_sort_uniq", "refs/notes/theirs")
    git(clone, "branch", "-q", "main", "origin/main")
    assert [given.by for given in driver(Repository(clone)).read(f"main..{head}").approvals] == ["ben", "cyd"]
