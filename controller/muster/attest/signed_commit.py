"""A raw commit taken apart: what was signed, and the signature.

The signed payload is the commit without its signature headers, byte for byte, as git cuts it: `gpgsig` in a repository
of SHA-1 ids, `gpgsig-sha256` in one of SHA-256 ids; the other of the two is cut out as well. A signature inside of a
`mergetag` belongs to that tag and stays in the payload. Two signatures on one commit are one too many: which of them
counts would be anybody's guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LARGEST_COMMIT: Final = 2**20
LARGEST_SIGNATURE: Final = 64 * 1024

_TREE = re.compile(rb"tree ([0-9a-f]{40}|[0-9a-f]{64})\n")
_SIGNATURES = (b"gpgsig", b"gpgsig-sha256")


@dataclass(frozen=True)
class SignedCommit:
    """`signature` is empty for an unsigned commit."""

    payload: bytes
    signature: bytes


def take_apart(raw: bytes) -> SignedCommit | str:
    """The payload and the signature of a raw commit, or why there are none to be had."""
    if len(raw) > LARGEST_COMMIT:
        return f"the commit is larger than {LARGEST_COMMIT} bytes"
    tree = _TREE.match(raw)
    if tree is None or b"\0" in raw:
        return "not a commit"
    head, blank, message = raw.partition(b"\n\n")
    kept, signatures = _headers(head)
    name = _SIGNATURES[len(tree[1]) > 40]
    if len(signatures[name]) > 1:
        return "more than one signature"
    signature = b"".join(signatures[name])
    if len(signature) > LARGEST_SIGNATURE:
        return f"the signature is larger than {LARGEST_SIGNATURE} bytes"
    return SignedCommit(kept + (b"\n" + message if blank else b""), signature)


def _headers(head: bytes) -> tuple[bytes, dict[bytes, list[bytes]]]:
    """All header lines but signatures, each with its end; and the signatures by header name."""
    kept = bytearray()
    signatures: dict[bytes, list[bytes]] = {name: [] for name in _SIGNATURES}
    current: list[bytes] | None = None
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if line.startswith(b" ") and current is not None:
            current[-1] += value + b"\n"
            continue
        current = signatures.get(name)
        if current is None:
            kept += line + b"\n"
        else:
            current.append(value + b"\n")
    return bytes(kept), signatures
