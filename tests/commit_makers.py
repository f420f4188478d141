"""Raw commits with and without signatures, made by hand, for what git would not write."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

PAYLOAD = (
    b"tree 045f683042529876c1fe28f97f416c1501ffa433\n"
    b"parent 74f0d242677d95a477f953260a2686712846c619\n"
    b"author Ada <ada@fleet.example> 1685981477 +0000\n"
    b"committer Ada <ada@fleet.example> 1685981477 +0000\n"
    b"\n"
    b"widen\n"
)


def with_signature(payload: bytes, armored: bytes, header: bytes = b"gpgsig") -> bytes:
    """The raw commit: the signature stands as the last header, its lines continued by a space, as git writes it."""
    head, _, message = payload.partition(b"\n\n")
    lines = header + b" " + armored.strip().replace(b"\n", b"\n ")
    return head + b"\n" + lines + b"\n\n" + message


def ssh_line(key: PrivateKey) -> str:
    """The public key as owners declare it."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def ssh_signed(
    payload: bytes,
    key: PrivateKey,
    *,
    namespace: bytes = b"git",
    hash_name: str = "sha512",
    algorithm: bytes | None = None,
    claimed: PrivateKey | None = None,
) -> bytes:
    """An armored SSHSIG; `claimed` is whose key it says it is by."""
    digest = hashlib.new(hash_name, payload).digest()
    message = b"SSHSIG" + packed(namespace, b"", hash_name.encode(), digest)
    inner = _inner(key, message, algorithm)
    blob = base64.b64decode(ssh_line(claimed or key).split()[1])
    return armored(b"SSHSIG\0\0\0\1" + packed(blob, namespace, b"", hash_name.encode(), inner))


def armored(blob: bytes) -> bytes:
    """An SSH signature's text."""
    text = base64.b64encode(blob)
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""])


def packed(*parts: bytes) -> bytes:
    """Length-prefixed strings."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _inner(key: PrivateKey, message: bytes, algorithm: bytes | None) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return packed(algorithm or b"ssh-ed25519", key.sign(message))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
        size = key.key_size // 8
        parts = [b"\0" + number.to_bytes(size, "big") for number in numbers]
        return packed(algorithm or f"ecdsa-sha2-nistp{key.key_size}".encode(), packed(*parts))
    name = algorithm or b"rsa-sha2-512"
    hashed = {b"rsa-sha2-512": SHA512(), b"rsa-sha2-256": SHA256(), b"ssh-rsa": SHA1()}[name]
    return packed(name, key.sign(message, padding.PKCS1v15(), hashed))
