"""Signing commits, as git does with an SSH key (SSHSIG, namespace "git"): anybody's git can verify them.

The same commit and key give the same signature (RFC 6979), so that a commit made again has the same id. Format:
PROTOCOL.sshsig of OpenSSH; ECDSA values as RFC 5656 writes them.
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from muster.attest.keys import private_key
from muster.attest.ssh_signature import NAMESPACE

_MAGIC: Final = b"SSHSIG"
_HASH: Final = b"sha512"
_ALGORITHM: Final = b"ecdsa-sha2-nistp256"
_LINE: Final = 70


def signed_commit(raw: bytes, private_key_pem: bytes) -> bytes:
    """The raw commit with its signature. Raises `Unusable` for another key than EC P-256."""
    header, blank, message = raw.partition(b"\n\n")
    name = b"gpgsig" if len(header.partition(b"\n")[0]) == len("tree ") + 40 else b"gpgsig-sha256"
    signature = _armored(raw, private_key_pem).replace(b"\n", b"\n ")
    return header + b"\n" + name + b" " + signature + blank + message


def _armored(payload: bytes, private_key_pem: bytes) -> bytes:
    key = private_key(private_key_pem)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    message = _MAGIC + _strings(NAMESPACE, b"", _HASH, hashlib.sha512(payload).digest())
    numbers = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True)))
    value = _strings(_ALGORITHM, _strings(*(_positive(number) for number in numbers)))
    version = (1).to_bytes(4, "big")
    blob = _MAGIC + version + _strings(base64.b64decode(public.split()[1]), NAMESPACE, b"", _HASH, value)
    lines = textwrap.wrap(base64.b64encode(blob).decode(), _LINE)
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----"]).encode()


def _strings(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _positive(number: int) -> bytes:
    """A multiple-precision integer, with room for its sign."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
