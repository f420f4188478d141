"""Where the ledger lies in git: `refs/muster/ledger`, whose commits each add one segment and its checkpoint.

    checkpoint.json                      the newest checkpoint
    checkpoints/<thousand>/<number>.json each checkpoint
    segments/<thousand>/<number>.jsonl   the rows that came with it

A clone does not bring the ref by itself: git fetch origin 'refs/muster/*:refs/muster/*'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from muster.attest.keys import key_id
from muster.attest.ledger.chain import Anchor, Pushed, Trust
from muster.kinds.errors import MusterError, Refused, Unusable
from muster.kinds.signing_key import SigningKey
from muster.source.git import CommitInfo, Repository
from muster.source.validate import validate
from muster.source.yaml_events import YamlFault, parse

REF: Final = "refs/muster/ledger"
NEWEST: Final = "checkpoint.json"
FETCH: Final = "git fetch origin 'refs/muster/*:refs/muster/*' 'refs/notes/muster/*:refs/notes/muster/*'"
TRAILER: Final = "Muster-Ledger"

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of all segments that are read at once."""
MOST_CHECKPOINTS: Final = 50_000
MOST_COMMITS: Final = 10_000
"""Commits whose trailers are looked for; and of those that touched keys, a hundredth."""

_NUMBERED = re.compile(r"(checkpoints|segments)/[0-9]{3}/([0-9]{9})\.jsonl?")
_TRAILER = re.compile(rf"^{TRAILER}: (sha256:[0-9a-f]{{64}})$", re.MULTILINE)
_KEY = re.compile(r"policies/keys/[^/]+\.ya?ml")
_LARGEST_KEY = 64 * 1024


def checkpoint_path(number: int) -> str:
    """Where a checkpoint lies."""
    return f"checkpoints/{number // 1_000:03}/{number:09}.json"


def segment_path(number: int) -> str:
    """Where a segment lies."""
    return f"segments/{number // 1_000:03}/{number:09}.jsonl"


def tip(repository: Repository, ref: str = REF) -> str | None:
    """The newest commit of the ledger; None if there is none here."""
    answer = repository.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return answer.text if answer.code == 0 else None


def read_pushed(repository: Repository, commit: str) -> Pushed:
    """What the ledger's tree at a commit holds, by number. Raises `Refused` if it is too large, `Unusable`."""
    newest = repository.show_file(commit, NEWEST)
    if newest is None:
        raise Unusable(f"{commit[:12]} holds no ledger", f"name the ref of a ledger; or bring it: {FETCH}")
    found: dict[str, dict[int, str]] = {"checkpoints": {}, "segments": {}}
    size = 0
    for entry in repository.tree(commit):
        numbered = _NUMBERED.fullmatch(entry.path)
        if numbered and entry.mode == "100644":
            found[numbered[1]][int(numbered[2])] = entry.blob
            size += entry.size
    if size > LARGEST:
        raise Refused(f"the ledger has {size} bytes, more than {LARGEST}", "verify it where its controller is")
    most = max((number for numbers in found.values() for number in numbers), default=0)
    if most > MOST_CHECKPOINTS:
        raise Refused(f"the ledger names checkpoint {most}", f"at most {MOST_CHECKPOINTS} are read")
    return Pushed(newest, *(_by_number(repository, found[name], most) for name in ("checkpoints", "segments")))


def trust_at(repository: Repository, commit: str) -> Trust:
    """Whose checkpoints count at a commit of the fleet. Raises `Unusable`."""
    now = _keys_at(repository, commit)
    ever = dict(now)
    for one in repository.log("policies/keys", MOST_COMMITS // 100, commit, first_parent=True):
        ever = {**_keys_at(repository, one.commit), **ever}
        if one.parents:
            # A commit that only takes a key away shows it in its parent.
            ever = {**_keys_at(repository, one.parents[0]), **ever}
    return Trust(now, ever)


def anchors_of(repository: Repository, commit: str) -> tuple[Anchor, ...]:
    """The digests that the trailers of a branch's commits name."""
    listed = repository.log(None, MOST_COMMITS, commit, first_parent=True)
    return tuple(anchor for one in listed for anchor in _anchors(one))


def _anchors(commit: CommitInfo) -> list[Anchor]:
    return [Anchor(digest, f"commit {commit.commit[:12]}", commit.at) for digest in _TRAILER.findall(commit.body)]


def _by_number(repository: Repository, numbers: Mapping[int, str], most: int) -> tuple[bytes | None, ...]:
    contents = repository.blobs(numbers.values())
    return tuple(contents[blob] if (blob := numbers.get(number)) is not None else None for number in range(1, most + 1))


def _keys_at(repository: Repository, commit: str) -> dict[str, str]:
    """{key id: public PEM} of the keys for artifacts; what does not load declares nothing."""
    entries = [
        entry
        for entry in repository.tree(commit, ["policies/keys"])
        if _KEY.fullmatch(entry.path) and entry.mode.startswith("100") and entry.size <= _LARGEST_KEY
    ]
    contents = repository.blobs(entry.blob for entry in entries)
    found: dict[str, str] = {}
    for entry in entries:
        try:
            declared = validate(entry.path, SigningKey, parse(contents[entry.blob]))
            if isinstance(declared, SigningKey) and "artifacts" in declared.spec.uses:
                found[key_id(declared.spec.public_key)] = declared.spec.public_key
        except (YamlFault, MusterError):
            continue
    return found
