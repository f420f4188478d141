"""Keyless signatures: no key is trusted, but a name. A certificate that lives ten minutes says who held the key, a
transparency log says that it signed, and a log or a timestamp authority says when.

Sigstore's own verifier decides about all of that, on the trusted root of the base, and asks nobody. Here stand the two
questions that are ours: whether the certificate names somebody whom the base trusts, and what to call a refusal.

Rules: the payload is believed only as the verifier returned it; identity and issuer are exact; a bundle without its log
entry is refused, since a stolen ten-minute key would sign for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from muster.attest.dsse import PAYLOAD_TYPE, read_part
from muster.attest.model_signature import compare_signed
from muster.attest.signers import TRUSTED_ROOT
from muster.attest.sigstore_root import Seen, names, told, verifier_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.trusted_identity import TrustedIdentity
from muster.source.git_program import printable

_REASONS: Final = (
    ("expected exactly one log entry", "its log entry was stripped: it has to have one"),
    ("inclusion proof", "its log entry was stripped of the proof that it is in the log"),
    ("inclusion promise or signed timestamp", "nothing says when it was signed"),
    ("not enough sources of verified time", "nothing that the trusted root knows says when it was signed"),
    ("not valid at validation time", "its certificate had expired, or was not valid yet, when it was signed"),
    ("expired at time of signing", "its certificate had expired when it was signed"),
    ("certificate chain", "its certificate is not by an authority of the trusted root"),
    ("SCT", "its certificate is in no certificate log of the trusted root"),
    ("invalid log entry", "its log entry is not by a log of the trusted root, or was altered"),
    ("DSSE: invalid signature", "the signature does not hold: what was signed was altered"),
    ("log entry", "its log entry is about something else"),
    ("transparency log entry is inconsistent", "its log entry is about something else"),
)
"""What Sigstore's verifier says, and what we call it; the first that fits."""


class UntrustedIdentity(Refused):
    """A certificate names somebody whom the caller does not trust."""


@dataclass(frozen=True)
class Keyless:
    """Whose certificates count. `root` is the trusted root's file; None if the base pins none."""

    identities: Sequence[TrustedIdentity] = ()
    root: bytes | None = None

    @property
    def names(self) -> str:
        """The names of the identities, for a person."""
        return ", ".join(sorted(identity.signer for identity in self.identities)) or "none"


NOBODY: Final = Keyless()


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)


class _Material(_Part):
    certificate: dict[str, Any] | None = None


class _Envelope(_Part):
    signatures: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1)]


class _Certified(_Part):
    verification_material: _Material


class _Bundle(_Part):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    dsse_envelope: _Envelope


def is_keyless(data: bytes) -> bool:
    """True for a bundle that names its signer by a certificate. Says nothing about what it is worth."""
    try:
        return read_part(_Certified, data, "signature", "").verification_material.certificate is not None
    except Refused:
        return False


def open_keyless(data: bytes, trusted: Keyless, hint: str) -> tuple[bytes, str]:
    """The signed payload, and who signed it: `signer` of one of the identities.

    Raises `UntrustedIdentity`, or `Refused` with `hint` if this is no bundle or the trusted root does not vouch for it.
    """
    from sigstore.errors import Error
    from sigstore.models import Bundle

    read_part(_Bundle, data, "keyless signature", hint)
    if trusted.root is None and not trusted.identities:
        raise UntrustedIdentity("signed by an identity that is not trusted: no identity is declared", hint)
    if trusted.root is None:
        raise Refused(f"signed by a Sigstore certificate, and there is no trusted root in {TRUSTED_ROOT}", hint)
    seen = Seen()
    try:
        bundle = Bundle.from_json(data)
        kind, payload = verifier_of(trusted.root, bundle).verify_dsse(bundle, seen)
    except (Refused, Unusable) as error:
        raise Refused(f"the keyless signature is refused: {error.message}", error.hint) from error
    except Error as error:
        raise Refused(_reason(error), hint) from error
    except Exception as error:  # a certificate or an entry that the verifier did not foresee
        raise Refused("the keyless signature cannot be read", hint) from error
    if kind != PAYLOAD_TYPE:
        raise Refused(f"the keyless signature is over {printable(kind)[:100]}, not over a statement", hint)
    return payload, _who(seen, trusted, hint)


def _who(seen: Seen, trusted: Keyless, hint: str) -> str:
    for identity in sorted(trusted.identities, key=lambda identity: identity.metadata.name):
        if names(seen.certificate, identity.spec.identity, identity.spec.issuer):
            return identity.signer
    named, issuer = (printable(text)[:300] for text in told(seen.certificate))
    also = [identity for identity in trusted.identities if identity.spec.identity == named]
    other = f"; {also[0].signer} is that identity of {also[0].spec.issuer}" if also else ""
    raise UntrustedIdentity(f"signed by an identity that is not trusted: {named} of {issuer}{other}", hint)


def _reason(error: Exception) -> str:
    text = str(error)
    for said, called in _REASONS:
        if said in text:
            return f"the keyless signature is refused: {called}"
    return f"Sigstore does not accept the signature: {printable(text)[:300]}"


def verify_files_keyless(files: Mapping[str, str], signature: bytes, trusted: Keyless) -> str:
    """Verify that an identity trusted for `artifacts` signed exactly these files, given as {name: "sha256:<hex>"}.

    Returns who signed. Raises `Refused` as `verify_files` does.
    """
    certified = replace(trusted, identities=[one for one in trusted.identities if "artifacts" in one.spec.uses])
    payload, signer = open_keyless(signature, certified, "build and sign the artifact again")
    compare_signed(payload, files)
    return signer
