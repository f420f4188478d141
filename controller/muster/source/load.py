"""From a commit, or a working tree, to a Fleet, with the place of every complaint.

Rules it keeps:
- All complaints of a tree are reported at once, sorted by place; a fleet comes out only if there is no error.
- Blob ids are the cache keys: a commit that is loaded again parses nothing, another one parses what changed.
- Bounded: 20,000 declared files, 1 MiB each, 64 MiB in total; nothing is read that is not a regular file inside.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

from muster.check.references import KEY, complaints
from muster.kinds.errors import Refused
from muster.kinds.finding import Complaint, Finding, Place
from muster.kinds.fleet import AnyResource, Fleet
from muster.kinds.owners import Owners
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import MIB, printable
from muster.source.layout import FOLDERS, PATH_HINT, WHERE, is_yaml, kind_at, kind_name_at, leaves_the_tree
from muster.source.validate import validate
from muster.source.work_tree import read_file, walk
from muster.source.yaml_events import MAX_BYTES, YamlFault, parse

MAX_DECLARED = 20_000
MAX_TOTAL = 64 * MIB
MAX_FINDINGS = 1_000
_COMMITS_KEPT = 8

# The end of a release file as Muster and its documents write it: every cohort named, every one at 0%. A file that
# ends in any other way is parsed.
_AT_REST = re.compile(
    rb"\n  rollout:\n(?:    #[^\n]*\n)*    cohorts:(?: \{\}\n|\n(?:      [a-z0-9-]{1,63}: (?:0%|\"0%\"|'0%')\n)+)\s*\Z"
)

# Nothing but these keys at the left, in this order: so what the two others find are the fields of `spec`, and no text
# that looks like them.
_PLAIN = re.compile(
    rb"(?:(?:#[^\n]*)?\n)*apiVersion: muster/v1\nkind: Release\nmetadata:\n(?:(?:[ #][^\n]*)?\n)*"
    rb"spec:\n(?:(?:[ #][^\n]*)?\n)*"
)

_TIER = re.compile(rb"\nspec:\n(?:  #[^\n]*\n)*  tier: ([a-z]+)\n")

_SUPERSEDES = re.compile(rb"\n  supersedes: [\"']?([0-9.]+)[\"']?(?=\n)")

Key = tuple[str, str]
Parsed: TypeAlias = "AnyResource | tuple[Finding, ...]"
Read = Callable[[Iterable[TreeEntry]], Mapping[str, bytes]]


@dataclass(frozen=True)
class _Part:
    """What of a fleet is loaded: releases left out on purpose, and the models that the others are of."""

    unread: frozenset[str]
    models: frozenset[str]


class _Resting(NamedTuple):
    """What the lines of a release at rest tell of it."""

    tier: str
    supersedes: str | None


@dataclass(frozen=True)
class Loaded:
    """`fleet` is None if any finding is an error. `commit` is None for a working tree.

    `owners` are known wherever their own file reads, so that another file's error does not leave documents unanswered.
    """

    fleet: Fleet | None
    findings: tuple[Finding, ...]
    commit: str | None
    owners: Owners | None = None

    def fleet_or_refuse(self, what: str) -> Fleet:
        """The fleet. Raises `Refused` with the first error if `what` does not pass the checks."""
        if self.fleet is not None:
            return self.fleet
        errors = [finding for finding in self.findings if finding.severity == "error"]
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Refused(
            f"{what} does not pass `muster check`: {errors[0].place}: {errors[0].message}{others}", errors[0].hint
        )


class Loader:
    """Loads fleets and keeps what it parsed. `parsed` counts the files it had to parse."""

    def __init__(self) -> None:
        self.parsed = 0
        self._files: dict[Key, Parsed] = {}
        self._newest: dict[Key, Parsed] = {}
        self._commits: OrderedDict[str, Loaded] = OrderedDict()
        self._at_rest: dict[Key, _Resting | None] = {}

    def commit(self, repository: Repository, commit: str) -> Loaded:
        """The fleet of a commit. Raises `Refused` for a tree without bounds, `Unusable` if it cannot be read."""
        if commit in self._commits:
            self._commits.move_to_end(commit)
            return self._commits[commit]

        def read(entries: Iterable[TreeEntry]) -> Mapping[str, bytes]:
            return repository.blobs(entry.blob for entry in entries)

        loaded = self._load(repository.tree(commit, FOLDERS), read, commit)
        self._commits[commit] = loaded
        if len(self._commits) > _COMMITS_KEPT:
            self._commits.popitem(last=False)
        return loaded

    def part(self, repository: Repository, tree: str, models: Collection[str], wanted: Collection[str]) -> Loaded:
        """The fleet of a commit or tree as far as a change of `models` concerns it.

        Devices and policies are read whole. Of these models' releases, those in `wanted`, what they supersede, and all
        that reach a device; the others are left out unparsed, since they neither offer nor lack anything.
        """
        folders = ("devices", "policies", *(f"releases/{model}" for model in sorted(models)))
        entries = repository.tree(tree, folders)

        def read(asked: Iterable[TreeEntry]) -> Mapping[str, bytes]:
            return repository.blobs(entry.blob for entry in asked)

        releases = [entry for entry in entries if entry.path.startswith("releases/") and _declares(entry)]
        resting = self._look([entry for entry in releases if entry.path not in wanted], read)
        idle = _idle(resting, {entry.path for entry in releases})
        return self._load(tuple(entries), read, None, _Part(frozenset(idle), frozenset(models)))

    def people(self, repository: Repository, commit: str) -> Fleet | None:
        """The fleet of a commit without its releases: who owns it, which keys it trusts. None if that does not load."""
        return self.part(repository, commit, (), ()).fleet

    def at_rest(self, repository: Repository, tree: str, models: Collection[str]) -> Mapping[str, str]:
        """Path → tier of these models' releases that reach no device, told by lines of their files without parsing."""
        entries = repository.tree(tree, tuple(f"releases/{model}" for model in sorted(models)))
        releases = [entry for entry in entries if _declares(entry)]
        found = self._look(releases, lambda asked: repository.blobs(entry.blob for entry in asked))
        return {path: resting.tier for path, resting in found.items() if resting is not None}

    def _look(self, entries: list[TreeEntry], read: Read) -> dict[str, _Resting | None]:
        """Path → what is told of a release that reaches no device; None for others."""
        unknown = [entry for entry in entries if (entry.path, entry.blob) not in self._at_rest]
        contents = read(unknown) if unknown else {}
        self._at_rest.update({(entry.path, entry.blob): _resting(contents[entry.blob]) for entry in unknown})
        return {entry.path: self._at_rest[entry.path, entry.blob] for entry in entries}

    def work_tree(self, folder: Path) -> Loaded:
        """The fleet of a folder as it stands. Raises `Refused` for a tree without bounds, `Unusable`."""
        contents: dict[str, bytes] = {}
        entries: list[TreeEntry] = []
        total = 0
        for found in walk(folder, FOLDERS):
            entry = found
            if _declares(found) and found.size <= MAX_BYTES:
                total += found.size
                if total <= MAX_TOTAL and len(contents) <= MAX_DECLARED:
                    blob, data = read_file(folder, found.path, MAX_BYTES)
                    entry = replace(found, blob=blob, size=len(data))
                    contents[blob] = data
            entries.append(entry)
        return self._load(tuple(entries), lambda _: contents, None)

    def _load(
        self, entries: tuple[TreeEntry, ...], read: Read, commit: str | None, part: _Part | None = None
    ) -> Loaded:
        findings, declared = _sort_out(entries)
        unread = part.unread if part else frozenset[str]()
        declared = [entry for entry in declared if entry.path not in unread]
        total = sum(entry.size for entry in declared)
        if len(declared) > MAX_DECLARED or total > MAX_TOTAL:
            message = f"{len(declared)} declarations of {total} bytes in total"
            hint = f"keep to {MAX_DECLARED} files and {MAX_TOTAL // MIB} MiB"
            return Loaded(None, (Finding(Place("."), "too-large", message, hint),), commit)
        parsed = self._parse(declared, read)
        resources: dict[str, AnyResource] = {}
        for path, result in parsed.items():
            if isinstance(result, tuple):
                findings += result
            else:
                resources[path] = result
        unreadable = {finding.place.file for finding in findings if kind_name_at(finding.place.file)}
        found = complaints(resources, unreadable, unread, part.models if part else None)
        findings += _placed(found, {entry.path: entry for entry in declared}, read)
        findings = _in_order(findings)
        refused = any(finding.severity == "error" for finding in findings)
        fleet = None if refused else Fleet.of(resources.values(), commit)
        owners = next((one for one in resources.values() if isinstance(one, Owners)), None)
        return Loaded(fleet, tuple(findings), commit, owners)

    def _parse(self, declared: list[TreeEntry], read: Read) -> dict[str, Parsed]:
        new = [entry for entry in declared if (entry.path, entry.blob) not in self._files]
        contents = read(new) if new else {}
        results: dict[Key, Parsed] = {}
        for entry in declared:
            key = (entry.path, entry.blob)
            if key in self._files:
                results[key] = self._files[key]
            else:
                results[key] = _parse_file(entry.path, contents[entry.blob])
                self.parsed += 1
        # Two generations: going back and forth between a base and its head parses nothing.
        self._files = {**self._newest, **results}
        self._newest = results
        return {path: result for (path, _), result in results.items()}


def _resting(data: bytes) -> _Resting | None:
    """None where the text does not say plainly that the release is at rest, in which tier, and what it supersedes."""
    tier, named = _TIER.search(data), _SUPERSEDES.findall(data)
    if tier is None or len(named) != data.count(b"supersedes:") or len(named) > 1:
        return None
    if not (_AT_REST.search(data) and _PLAIN.fullmatch(data)):
        return None
    return _Resting(tier[1].decode(), named[0].decode() if named else None)


def _idle(found: Mapping[str, _Resting | None], declared: Collection[str]) -> set[str]:
    """Paths of releases at rest that tell of no tier which others do not tell of already, and lack nothing.

    The highest tier among a model's releases matters. One whose superseded release is gone has to be complained of.
    """
    idle: set[str] = set()
    told: set[tuple[str, str]] = set()
    for path, resting in found.items():
        model = path.split("/")[1]
        if resting is None or (resting.supersedes and f"releases/{model}/{resting.supersedes}.yaml" not in declared):
            continue
        if (model, resting.tier) in told:
            idle.add(path)
        told.add((model, resting.tier))
    return idle


def _declares(entry: TreeEntry) -> bool:
    return entry.mode.startswith("100") and kind_name_at(entry.path) is not None


def _sort_out(entries: tuple[TreeEntry, ...]) -> tuple[list[Finding], list[TreeEntry]]:
    """Complaints about files as such, and the files that declare something."""
    findings: list[Finding] = []
    declared: list[TreeEntry] = []
    seen: set[str] = set()
    for entry in entries:
        finding = _objection(entry, seen)
        seen.add(entry.path)
        if finding is not None:
            findings.append(finding)
        elif _declares(entry):
            declared.append(entry)
    return findings, declared


def _objection(entry: TreeEntry, seen: set[str]) -> Finding | None:
    """The first thing that is wrong with a file as such, before anybody reads it."""
    limit = f"keep it under {MAX_BYTES} bytes"
    declares = is_yaml(entry.path)
    rules = (
        (leaves_the_tree(entry.path), "path", "the path leaves the tree", PATH_HINT),
        (entry.mode == "120000", "link", "a symbolic link", "put the file itself here"),
        (entry.mode == "160000", "link", "a submodule", "declare the fleet in this repository"),
        (entry.path in seen, "path", "the tree holds this path twice", "run git fsck: git did not make this tree"),
        (
            declares and kind_name_at(entry.path) is None,
            "path",
            "nothing is declared in this place",
            f"move it to {WHERE}",
        ),
        (declares and not entry.mode.startswith("100"), "link", "not a regular file", "put a regular file here"),
        (declares and entry.size > MAX_BYTES, "too-large", f"the file has {entry.size} bytes", limit),
    )
    found = next((rule[1:] for rule in rules if rule[0]), None)
    return Finding(Place(printable(entry.path)), *found) if found else None


def _parse_file(path: str, data: bytes) -> Parsed:
    kind = kind_at(path)
    assert kind is not None
    try:
        result = validate(path, kind, parse(data))
    except YamlFault as fault:
        return (Finding(Place(path, *fault.spot), fault.rule, printable(fault.message), printable(fault.hint)),)
    return tuple(result) if isinstance(result, list) else result


def _placed(found: list[Complaint], entries: Mapping[str, TreeEntry], read: Read) -> list[Finding]:
    """Complaints with their places. Only files that are complained of are read again."""
    wanted = {complaint.pointer.file for complaint in found[:MAX_FINDINGS]} & set(entries)
    contents = read([entries[path] for path in wanted]) if wanted else {}
    documents = {path: parse(contents[entries[path].blob]) for path in wanted}
    findings = []
    for complaint in found[: MAX_FINDINGS + 1]:
        file, path = complaint.pointer.file, complaint.pointer.path
        spot = (0, 0)
        if path and file in documents:
            document = documents[file]
            spot = document.key_spot(path[:-1]) if path[-1] == KEY else document.spot(path)
        findings.append(
            Finding(Place(file, *spot), complaint.rule, complaint.message, complaint.hint, complaint.severity)
        )
    return findings


def _in_order(findings: list[Finding]) -> list[Finding]:
    """By place, errors first where there are too many to show."""
    if len(findings) > MAX_FINDINGS:
        more = len(findings) - MAX_FINDINGS
        findings = sorted(findings, key=lambda one: (one.severity, one.place))[:MAX_FINDINGS]
        findings.append(Finding(Place("."), "too-many", f"{more} more complaints", "correct the others first"))
    return sorted(findings, key=lambda one: (one.place, one.rule, one.message))
