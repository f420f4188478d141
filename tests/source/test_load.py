"""load.py: a commit or a folder to a fleet; every refusal with file, line and column."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster.kinds.errors import Refused, Unusable
from muster.source import load
from muster.source.git import make_repository
from muster.source.load import Loader
from scratch_fleet import fleet_files, pin, release_yaml
from scratch_repository import commit_all, git, write

RELEASE = "releases/reader/1.0.0.yaml"
POLICY = "policies/default.yaml"
CLASS = "devices/classes/cam.yaml"


def load_files(folder: Path, files):
    write(folder, files)
    return Loader().work_tree(folder)


def bent(path: str, old: str, new: str):
    """The small fleet with one text replaced in one file."""
    files = fleet_files()
    assert old in files[path], f"{old!r} is not in {path}"
    return files | {path: files[path].replace(old, new, 1)}


def test_a_fleet_loads(repository_with):
    """A commit without complaints gives its fleet, with its commit."""
    repository = repository_with(fleet_files())
    head = repository.resolve("HEAD")
    loaded = Loader().commit(repository, head)
    assert loaded.findings == ()
    assert loaded.fleet.commit == head == loaded.commit
    assert [release.name for release in loaded.fleet.releases] == ["reader/1.0.0"]
    assert [cohort.metadata.name for cohort in loaded.fleet.cohorts] == ["canary", "fleet"]


def test_cost_follows_the_change(repository_with):
    """The same commit parses nothing; another parses what changed; going back to the base parses nothing."""
    repository = repository_with(fleet_files())
    loader = Loader()
    base = repository.resolve("HEAD")
    first = loader.commit(repository, base)
    assert loader.parsed == 5
    assert loader.commit(repository, base) is first
    assert loader.parsed == 5
    write(repository.path, {"README.md": "x", "releases/reader/1.1.0.yaml": release_yaml("1.1.0", cohorts={})})
    head = commit_all(repository.path)
    assert len(loader.commit(repository, head).fleet.releases) == 2
    assert loader.parsed == 6
    other = Loader()
    other.commit(repository, head)
    other.commit(repository, base)
    assert other.parsed == 6


def test_bare_repository_and_work_tree_agree(repository_with, tmp_path):
    """The same files give the same fleet, whichever way they are read."""
    repository = repository_with(fleet_files())
    git(tmp_path, "clone", "-q", "--bare", str(repository.path), "bare")
    bare = load.Repository(tmp_path / "bare")
    from_commit = Loader().commit(bare, bare.resolve("main")).fleet
    from_folder = Loader().work_tree(repository.path).fleet
    assert from_folder.commit is None
    assert from_commit.releases == from_folder.releases
    assert from_commit.policies == from_folder.policies


HASH = pin(14)
POLL = "pollInterval: 1m\n"


def gate(metric: str) -> str:
    return f"      gates:\n        - {{name: kept, metric: {metric}, comparator: '>=', threshold: \"0.99\"}}\n"


# ruff: noqa: E501 - a table with one case per line reads better
COMPLAINTS = {
    # name: (file, old, new, expected "line:column", rule, part of message or hint)
    "unknown field": (RELEASE, "  artifact:\n", "  artefact: 1\n  artifact:\n", "46:3", "unknown-field", "write artifact"),
    "unknown field in a list": (CLASS, "debian\n", "debian\n    flavour: x\n", "11:5", "unknown-field", "known here: name"),
    "snake case": (RELEASE, "runId:", "run_id:", "14:7", "unknown-field", "write runId"),
    "missing field": (RELEASE, "      owner: Ada\n", "", "12:5", "missing", "spec.source.lineage.owner is missing"),
    "missing kind": (RELEASE, "kind: Release\n", "", "1:1", "missing", "add `kind: Release`"),
    "missing apiVersion": (CLASS, "apiVersion: muster/v1\n", "", "1:1", "missing", "apiVersion: muster/v1"),
    "wrong kind": (RELEASE, "kind: Release", "kind: Cohort", "3:7", "choice", '"Release"'),
    "other version": (RELEASE, "muster/v1", "muster/v2", "2:13", "choice", '"muster/v1"'),
    "typo in a gate's metric": (POLICY, POLL, POLL + gate("acuracy"), "15:32", "choice", 'did you mean "accuracy"?'),
    "no metric of a gate": (POLICY, POLL, POLL + gate("vibes"), "15:32", "choice", 'write "accuracy", "p50-latency"'),
    "float for a duration": (CLASS, "p95Latency: 20ms", "p95Latency: 18.5", "20:17", "quantity", '"18.5ms", in quotes'),
    "integer for a size": (CLASS, "storage: 1MiB", "storage: 1048576", "17:14", "quantity", "1048576 is a bare number"),
    "float for a percentage": (RELEASE, 'canary: "100%"', "canary: 99.5", "68:15", "quantity", '"0.25%", in quotes'),
    "float for a decimal": (RELEASE, 'tolerance: "0.05"', "tolerance: 0.05", "36:18", "quantity", 'write "0.94"'),
    "percentage above 100": (RELEASE, 'canary: "100%"', 'canary: "100.0001%"', "68:15", "quantity", "more than"),
    "percentage below 0": (RELEASE, 'canary: "100%"', 'canary: "-1%"', "68:15", "quantity", "not a percentage"),
    "five decimals": (RELEASE, 'canary: "100%"', 'canary: "0.00001%"', "68:15", "quantity", "at most four decimals"),
    "bad digest": (RELEASE, pin(8), "sha256:abc", "37:21", "format", "64 lower-case"),
    "upper-case digest": (RELEASE, pin(14), pin(14).upper(), "47:13", "format", "64 lower-case"),
    "other digest": (RELEASE, pin(8), "md5:" + "0" * 32, "37:21", "format", "sha256"),
    "digest with a line break": (RELEASE, pin(8), f'"{pin(8)}\\n"', "37:21", "format", "64 lower-case"),
    "version as a number": (RELEASE, '"1.0.0"', "1.10", "6:12", "type", 'write it in quotes: "1.10"'),
    "version floats": (RELEASE, '"1.0.0"', '"1.0"', "6:12", "format", "major.minor.patch"),
    "runtime floats": (CLASS, '"1.31.1"', '">=1.31"', "14:14", "format", "one exact version"),
    "text for a number": (RELEASE, "size: 2000", 'size: "2000"', "48:11", "type", "without quotes"),
    "boolean for a number": (RELEASE, "size: 2000", "size: true", "48:11", "type", "a whole number"),
    "not a number": (RELEASE, "batch: 32", "batch: .nan", "23:40", "type", "a whole number"),
    "infinite": (CLASS, "storage: 1MiB", "storage: .inf", "17:14", "quantity", '"64MiB", in quotes'),
    "entropy": (RELEASE, "method: minmax", "method: minmax, calibrateMethod: Entropy", "23:16", "value", "min-max under another name"),
    "float for an integer": (RELEASE, "batch: 32", "batch: 32.0", "23:40", "type", "a whole number"),
    "yes for true": (CLASS, "models: [reader]", "models: [reader]\n  mayBeEmpty: yes", "26:15", "type", "write true or false"),
    "out of bounds": (RELEASE, "batch: 32", "batch: 0", "23:40", "bounds", "1 or more"),
    "scalar for a mapping": (RELEASE, "    cohorts:\n", "    other:\n", "66:3", "missing", "cohorts is missing"),
    "list for a mapping": (CLASS, "  rates:\n", "  rates: []\n  ratez:\n", "21:10", "type", "write fields below it"),
    "mapping for a list": (CLASS, "[x86-64-v2]", "{a: 1}", "8:8", "type", "- item"),
    "empty list": (CLASS, "[x86-64-v2]", "[]", "8:8", "bounds", "at least 1"),
    "null": (CLASS, "hardware: Four cores", "hardware:", "7:12", "type", "write text"),
    "bad name": (RELEASE, "deviceClass: cam", "deviceClass: ../cam", "51:20", "format", "lower-case"),
    "bad cohort name": (RELEASE, "      canary: ", "      Can ary: ", "68:7", "format", "is not a name"),
    "unknown option of the recipe": (RELEASE, "mantissaBits: 12", "mantissaBits: 12, entropy: true", "24:30", "unknown-field", "known here"),
    "top level is a list": (CLASS, "apiVersion: muster/v1\nkind", "- a\n# ", None, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPLAINTS.values(), ids=COMPLAINTS.keys())
def test_complaint_about_a_value(tmp_path, case):
    """What does not fit its kind is named with its place, and what would be right."""
    file, old, new, spot, rule, text = case
    loaded = load_files(tmp_path, bent(file, old, new))
    assert loaded.fleet is None
    if spot is None:
        return
    found = [finding for finding in loaded.findings if f"{finding.place}" == f"{file}:{spot}" and finding.rule == rule]
    assert len(found) == 1, [str(finding) for finding in loaded.findings]
    assert text in f"{found[0].message} {found[0].hint}"
    assert {finding.place.file for finding in loaded.findings} == {file}, (
        "one broken file has no consequences elsewhere"
    )


def test_all_complaints_at_once(tmp_path):
    """Three broken files give three sets of complaints, in order of place."""
    files = fleet_files() | {
        "devices/cohorts/canary.yaml": "a: 1\na: 2\n",
        CLASS: "apiVersion: muster/v1\n",
        RELEASE: release_yaml().replace("size: 2000", "size: x").replace("size: 1000", "size: y"),
    }
    loaded = load_files(tmp_path, files)
    shown = [(str(finding.place), finding.rule) for finding in loaded.findings]
    assert shown == [
        (f"{CLASS}:1:1", "missing"),
        (f"{CLASS}:1:1", "missing"),
        (f"{CLASS}:1:1", "missing"),
        ("devices/cohorts/canary.yaml:2:1", "duplicate-key"),
        (f"{RELEASE}:11:11", "type"),
        (f"{RELEASE}:48:11", "type"),
    ]


MISPLACED = [
    "releases/1.0.0.yaml",
    "releases/reader/old/1.0.0.yaml",
    "releases/reader/1.0.0.yml",
    "releases/reader/1.0.0.YAML",
    "devices/cam.yaml",
    "devices/classes/.hidden.yaml",
    "devices/classes/a b.yaml",
    "policies/keys/more/a.yaml",
]


@pytest.mark.parametrize("path", MISPLACED)
def test_misplaced_yaml(tmp_path, path):
    """YAML that declares nothing where it stands is a complaint, never ignored."""
    loaded = load_files(tmp_path, fleet_files() | {path: "a: 1\n"})
    assert [(str(finding.place), finding.rule) for finding in loaded.findings] == [(path, "path")]
    assert "releases/<model>/<version>.yaml" in loaded.findings[0].hint


def test_other_files_are_ignored(tmp_path):
    """Files of other types, and other folders, are nobody's business."""
    files = fleet_files() | {"policies/trust/root.json": "{", "releases/README.md": "x", "other/x.yaml": "a: &a"}
    assert load_files(tmp_path, files).findings == ()


def test_links_in_a_work_tree(tmp_path):
    """Links are named, never followed: not to files, folders or nothing."""
    write(tmp_path, fleet_files())
    (tmp_path / "devices/classes/link.yaml").symlink_to("/etc/passwd")
    (tmp_path / "releases/folder").symlink_to("..")
    (tmp_path / "policies/gone").symlink_to("nowhere")
    loaded = Loader().work_tree(tmp_path)
    assert [(str(finding.place), finding.rule) for finding in loaded.findings] == [
        ("devices/classes/link.yaml", "link"),
        ("policies/gone", "link"),
        ("releases/folder", "link"),
    ]


def test_linked_top_folder(tmp_path):
    """A whole folder that is a link is not entered."""
    write(tmp_path / "real", fleet_files())
    write(tmp_path / "tree", {path: text for path, text in fleet_files().items() if not path.startswith("policies")})
    (tmp_path / "tree/policies").symlink_to(tmp_path / "real/policies")
    places = [(str(finding.place), finding.rule) for finding in Loader().work_tree(tmp_path / "tree").findings]
    assert ("policies", "link") in places


def test_pipes_do_not_hang(tmp_path):
    """A named pipe where a file should be is a complaint."""
    write(tmp_path, fleet_files())
    os.mkfifo(tmp_path / "policies/pipe.yaml")
    assert [str(finding.place) for finding in Loader().work_tree(tmp_path).findings] == ["policies/pipe.yaml"]


def test_links_and_submodules_in_a_commit(repository_with):
    """Links and submodules in a commit are named, with everything else."""
    repository = repository_with(fleet_files())
    (repository.path / "devices/classes/link.yaml").symlink_to("cam.yaml")
    git(repository.path, "add", "-A")
    git(repository.path, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},releases/sub")
    git(repository.path, "commit", "-q", "-m", "links")
    loaded = Loader().commit(repository, repository.resolve("HEAD"))
    assert [(str(finding.place), finding.rule) for finding in loaded.findings] == [
        ("devices/classes/link.yaml", "link"),
        ("releases/sub", "link"),
    ]


def _crafted(repository, path_in_releases: list[tuple[str, bytes]]) -> str:
    """A commit whose releases/ tree holds entries that git itself would refuse to make."""
    blob = git(repository.path, "hash-object", "-w", "--stdin", given=b"a: 1\n")
    raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(blob) for mode, name in path_in_releases)
    tree = git(repository.path, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=raw)
    lines = git(repository.path, "ls-tree", "HEAD").splitlines()
    kept = "".join(f"{line}\n" for line in lines if not line.endswith("\treleases"))
    root = git(repository.path, "mktree", given=f"{kept}040000 tree {tree}\treleases\n".encode())
    return git(repository.path, "commit-tree", root, "-m", "crafted")


CRAFTED = {
    "dot dot": ([("100644", b"..")], "releases/..", "path"),
    "dot dot with a slash": ([("100644", b"../../x.yaml")], "releases/../../x.yaml", "path"),
    "absolute": ([("100644", b"/etc/x.yaml")], "releases//etc/x.yaml", "path"),
    "git folder": ([("100644", b".GIT")], "releases/.GIT", "path"),
    "backslash": ([("100644", b"..\\x.yaml")], "releases/..\\x.yaml", "path"),
    "not UTF-8": ([("100644", b"caf\xe9.yaml")], "releases/caf\\xe9.yaml", "path"),
    "terminal escape": ([("100644", b"\x1b[31m.yaml")], "releases/\\x1b[31m.yaml", "path"),
    "twice": ([("100644", b"r/1.0.0.yaml"), ("100644", b"r/1.0.0.yaml")], "releases/r/1.0.0.yaml", "path"),
}


@pytest.mark.parametrize(("entries", "file", "rule"), CRAFTED.values(), ids=CRAFTED.keys())
def test_crafted_trees(repository_with, entries, file, rule):
    """Paths that would leave the tree, or that a terminal would act on, are refused and shown escaped."""
    repository = repository_with(fleet_files())
    loaded = Loader().commit(repository, _crafted(repository, entries))
    assert loaded.fleet is None
    assert (file, rule) in [(finding.place.file, finding.rule) for finding in loaded.findings]
    assert all(str(finding).replace("\n", "").isprintable() for finding in loaded.findings)


def test_large_files_are_not_read(repository_with):
    """A file over 1 MiB is refused by its size, in a commit and in a folder."""
    repository = repository_with(bent(CLASS, "Four cores", "x" * 2**20))
    for loaded in (
        Loader().commit(repository, repository.resolve("HEAD")),
        Loader().work_tree(repository.path),
    ):
        assert [(str(f.place), f.rule) for f in loaded.findings] == [(CLASS, "too-large")]


@pytest.mark.parametrize(("name", "value"), [("MAX_TOTAL", 1_000), ("MAX_DECLARED", 3)])
def test_bounded_in_total(repository_with, monkeypatch, name, value):
    """Past the bounds nothing is parsed at all."""
    monkeypatch.setattr(load, name, value)
    repository = repository_with(fleet_files())
    loader = Loader()
    for loaded in (
        loader.commit(repository, repository.resolve("HEAD")),
        loader.work_tree(repository.path),
    ):
        assert [finding.rule for finding in loaded.findings] == ["too-large"]
    assert loader.parsed == 0


def test_findings_are_bounded(tmp_path):
    """Fifty thousand unknown fields are not fifty thousand complaints, and take no time to speak of."""
    text = fleet_files()[CLASS] + "".join(f"x{number}: 1\n" for number in range(40_000))
    began = time.process_time()
    loaded = load_files(tmp_path, fleet_files() | {CLASS: text})
    assert time.process_time() - began < 5
    assert len(loaded.findings) == 101
    assert loaded.findings[0].message == "39900 more complaints"


def test_unreadable_folder_and_missing_folder(tmp_path):
    """A folder that is not there could not be judged; that is no answer of no."""
    with pytest.raises(Unusable):
        Loader().work_tree(tmp_path / "none")


def test_too_many_files_of_any_type(tmp_path, monkeypatch):
    """The walk itself is bounded."""
    monkeypatch.setattr("muster.source.work_tree.MAX_ENTRIES", 3)
    write(tmp_path, fleet_files())
    with pytest.raises(Refused):
        Loader().work_tree(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_mutated_fleets_give_findings_only(tmp_path, data):
    """Whatever a byte of a file becomes, loading ends in a fleet or in findings with places."""
    files = fleet_files()
    path = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[path].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        end = start + data.draw(st.integers(0, 12))
        content[start:end] = data.draw(
            st.sampled_from([b"", b"\n", b": ", b"- ", b"{", b"[", b"'", b"\xff", b"&a ", b"9", b"0.1", b"\t"])
        )
    loaded = load_files(tmp_path, files | {path: bytes(content)})
    assert (loaded.fleet is None) == any(finding.severity == "error" for finding in loaded.findings)
    for finding in loaded.findings:
        assert finding.hint
        assert str(finding).replace("\n", "").isprintable()


def test_sha256_repositories(tmp_path):
    """Repositories with SHA-256 object names load all the same."""
    git(tmp_path, "init", "-q", "--object-format=sha256", "-b", "main", "origin")
    repository = load.Repository(tmp_path / "origin")
    write(repository.path, fleet_files())
    head = commit_all(repository.path)
    assert len(head) == 64
    assert Loader().commit(repository, head).fleet is not None


def test_ten_thousand_releases_are_bounded(tmp_path):
    """A large fleet loads in seconds, and a commit on top of it costs what it changes."""
    folder = tmp_path / "origin"
    folder.mkdir()
    repository = make_repository(folder, "main")
    files = fleet_files()
    for number in range(300):
        files[f"releases/reader/0.0.{number}.yaml"] = release_yaml(f"0.0.{number}", cohorts={})
    write(folder, files)
    loader = Loader()
    began = time.process_time()
    assert loader.commit(repository, commit_all(folder)).fleet is not None
    assert (time.process_time() - began) / 300 < 0.02
    write(folder, {"releases/reader/1.1.0.yaml": release_yaml("1.1.0", cohorts={})})
    assert loader.commit(repository, commit_all(folder)).fleet is not None
    assert loader.parsed == 306
