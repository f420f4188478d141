"""Rekor, v1 and v2: an append-only log in one Merkle tree, with inclusion proofs.

Formats: tree and proofs of RFC 6962, section 2.1; checkpoints as signed notes (C2SP tlog-checkpoint); the promise of v1
is a signature over {body, integratedTime, logID, logIndex} in canonical JSON. v2 promises nothing and tells no time.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from muster.kinds.canonical import canonical_json
from muster.simulate.sigstore.material import base64_text, new_key, public_der, sha256, signed

_ORIGIN: Final = "log.sigstore.example"


@dataclass(frozen=True)
class _Proof:
    index: int
    size: int
    root: bytes
    path: tuple[bytes, ...]
    checkpoint: str


class TransparencyLog:
    """One log with both interfaces; safe for threads."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.key = new_key()
        self.id = sha256(public_der(self.key))
        self._clock = clock
        self._leaves: list[bytes] = []
        self._lock = threading.Lock()

    def add_v1(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Rekor v1's answer to a proposed entry. Raises `ValueError`, `KeyError` for one that is none."""
        body = canonical_json(_dsse_entry(proposed) if proposed["kind"] == "dsse" else proposed)
        proof, at = self._append(body), int(self._clock().timestamp())
        entry = {"body": base64_text(body), "integratedTime": at, "logID": self.id.hex(), "logIndex": proof.index}
        verification = {
            "signedEntryTimestamp": base64_text(signed(self.key, canonical_json(entry))),
            "inclusionProof": {
                "logIndex": proof.index,
                "treeSize": proof.size,
                "rootHash": proof.root.hex(),
                "hashes": [one.hex() for one in proof.path],
                "checkpoint": proof.checkpoint,
            },
        }
        return {sha256(b"\0" + body).hex(): {**entry, "verification": verification}}

    def add_v2(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Rekor v2's answer to a request. Raises `ValueError`, `KeyError` for one that is none."""
        request = proposed["hashedRekordRequestV002"]
        data = {"algorithm": "SHA2_256", "digest": request["digest"]}
        kind = {"kind": "hashedrekord", "version": "0.0.2"}
        spec = {"hashedRekordV002": {"data": data, "signature": request["signature"]}}
        body = canonical_json({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec})
        proof = self._append(body)
        return {
            "logIndex": str(proof.index),
            "logId": {"keyId": base64_text(self.id)},
            "kindVersion": kind,
            "integratedTime": "0",
            "canonicalizedBody": base64_text(body),
            "inclusionProof": {
                "logIndex": str(proof.index),
                "treeSize": str(proof.size),
                "rootHash": base64_text(proof.root),
                "hashes": [base64_text(one) for one in proof.path],
                "checkpoint": {"envelope": proof.checkpoint},
            },
        }

    def _append(self, body: bytes) -> _Proof:
        with self._lock:
            self._leaves.append(sha256(b"\0" + body))
            leaves = tuple(self._leaves)
        index, root = len(leaves) - 1, _root(leaves)
        note = f"{_ORIGIN}\n{len(leaves)}\n{base64_text(root)}\n"
        stamp = base64_text(self.id[:4] + signed(self.key, note.encode()))
        return _Proof(index, len(leaves), root, _path(index, leaves), f"{note}\n\u2014 {_ORIGIN} {stamp}\n")


def _dsse_entry(proposed: dict[str, Any]) -> dict[str, Any]:
    """What the log keeps of an envelope: hashes, and who signed."""
    content = proposed["spec"]["proposedContent"]
    envelope = json.loads(content["envelope"])
    hashed = {
        "envelopeHash": content["envelope"].encode(),
        "payloadHash": base64.b64decode(envelope["payload"], validate=True),
    }
    digests = {name: {"algorithm": "sha256", "value": sha256(data).hex()} for name, data in hashed.items()}
    signatures = [{"signature": one["sig"], "verifier": content["verifiers"][0]} for one in envelope["signatures"]]
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {**digests, "signatures": signatures}}


def _split(leaves: Sequence[bytes]) -> int:
    """The largest power of two that is smaller than the number of leaves."""
    return 1 << ((len(leaves) - 1).bit_length() - 1)


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    at = _split(leaves)
    return sha256(b"\1" + _root(leaves[:at]) + _root(leaves[at:]))


def _path(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    if len(leaves) == 1:
        return ()
    at = _split(leaves)
    if index < at:
        return (*_path(index, leaves[:at]), _root(leaves[at:]))
    return (*_path(index - at, leaves[at:]), _root(leaves[:at]))
