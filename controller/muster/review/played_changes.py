"""What a policy test proposes, as commits: its base, and on top of it the head with the evidence that it makes.

They are written to wherever the repository keeps scratch objects at the moment; no branch moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from muster.attest.evidence import evidence_path, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.kinds.errors import MusterError
from muster.kinds.evidence import MEASUREMENT
from muster.kinds.policy_test import FileChange, PolicyTest
from muster.source.edit import set_rollout
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.yaml_events import Path

_AUTHOR = "Policy Test <policy-test@muster.invalid>"
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_KEY_FILE = "policies/keys/policy-test.yaml"


class Unplayable(Exception):
    """Why a case cannot be played, and the part of it that is to blame."""

    def __init__(self, path: Path, message: str, hint: str) -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def played(repository: Repository, loader: Loader, start: str, case: PolicyTest) -> tuple[str, str]:
    """The commits of base and head, on top of `start`. Raises `Unplayable`."""
    spec = case.spec
    base = _base(repository, start, spec.base)
    if not spec.measurements and not spec.statements:
        return base, _changed(repository, base, spec.head)
    trusted = new_private_key()
    base = write(repository, base, {_KEY_FILE: _key_file(public_half(trusted)).encode()})
    head = _changed(repository, base, spec.head)
    try:
        fleet = loader.commit(repository, head).fleet_or_refuse("the head")
    except MusterError as error:
        raise _unplayable(("spec", "head"), error) from error
    pinned = {release.name: release.spec.artifact.digest for release in fleet.releases}
    files: dict[str, bytes | None] = {}
    for number, (at, release, kind, predicate, by) in enumerate(_statements(case)):
        if release not in pinned:
            raise Unplayable((*at, "release"), f"{release} is not declared in the case", "name a release of its head")
        key = trusted if by == "trusted" else new_private_key()
        try:
            signed = sign_evidence({"artifact": pinned[release]}, kind, predicate, key)
        except MusterError as error:
            raise _unplayable(at, error) from error
        files[evidence_path(pinned[release], f"policy-test-{number}")] = signed
    return base, write(repository, head, files)


def write(repository: Repository, parent: str, changes: Mapping[str, bytes | None]) -> str:
    """A commit with these changes, always of the same time."""
    return repository.commit_files(parent, changes, "policy test", _AUTHOR, _AT)


def _statements(case: PolicyTest) -> Iterator[tuple[Path, str, str, dict[str, Any], str]]:
    """Where each stands in the case, what it is about, its type, what it says, and who signs it."""
    for number, measurement in enumerate(case.spec.measurements):
        predicate = measurement.model_dump(mode="json", by_alias=True)
        yield ("spec", "measurements", number), measurement.release, MEASUREMENT, predicate, "trusted"
    for number, made in enumerate(case.spec.statements):
        at: Path = ("spec", "statements", number)
        yield at, made.release, made.predicate_type, made.predicate, made.signed_by


def _base(repository: Repository, start: str, changes: tuple[FileChange, ...]) -> str:
    """`start` with what has to be another way for the case; maybe nothing has to."""
    written = _contents(repository, start, changes, "base")
    differs = {path: data for path, data in written.items() if data != repository.show_file(start, path)}
    return write(repository, start, differs) if differs else start


def _changed(repository: Repository, parent: str, changes: tuple[FileChange, ...]) -> str:
    try:
        return write(repository, parent, _contents(repository, parent, changes, "head"))
    except MusterError as error:
        raise _unplayable(("spec", "head"), error) from error


def _contents(
    repository: Repository, parent: str, changes: tuple[FileChange, ...], side: str
) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for number, change in enumerate(changes):
        at: Path = ("spec", side, number)
        try:
            found[change.path] = _content(repository, parent, change, at)
        except MusterError as error:
            raise _unplayable(at, error) from error
    return found


def _unplayable(path: Path, error: MusterError) -> Unplayable:
    return Unplayable(path, error.message, error.hint or "see muster check")


def _content(repository: Repository, parent: str, change: FileChange, at: Path) -> bytes | None:
    becomes = bool(change.edits or change.rollout or change.copy_of)
    if sum((change.text is not None, change.delete, becomes)) != 1:
        message = f"{change.path}: one of text, delete and what becomes of a file (copyOf, edits, rollout) is needed"
        raise Unplayable(at, message, "keep one of the three")
    if change.delete:
        return None
    if change.text is not None:
        return change.text.encode()
    text = _text(repository, parent, change.copy_of or change.path, at)
    for number, edit in enumerate(change.edits):
        if edit.find not in text:
            place = (*at, "edits", number, "find")
            raise Unplayable(place, f"{change.path} does not hold {edit.find[:80]!r}", "quote what stands in the file")
        text = text.replace(edit.find, edit.replace, 1)
    return (set_rollout(text, change.rollout) if change.rollout else text).encode()


def _text(repository: Repository, parent: str, path: str, at: Path) -> str:
    data = repository.show_file(parent, path)
    if data is None:
        raise Unplayable(at, f"{path} is not there", "name a file of this repository, or give its whole text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unplayable(at, f"{path} is not text", "name a file that is") from error


def _key_file(pem: str) -> str:
    lines = "".join(f"    {line}\n" for line in pem.splitlines())
    return (
        "apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: policy-test\nspec:\n  uses: [evidence]\n"
        f"  publicKey: |\n{lines}"
    )
