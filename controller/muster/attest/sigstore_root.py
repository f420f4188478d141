"""The Sigstore trusted root of a repository, and who a certificate names. Nothing here asks a server.

The root is a file of the base, `policies/keys/sigstore.json`: authorities, certificate logs, transparency logs and
timestamp authorities, old ones with the time until which they counted. Keys rotate by a pull request that changes it.

Sigstore's verifier heeds these times for timestamp authorities alone: an authority whose key was stolen would certify
for ever. So it is given no more of the root than counted when a bundle says that it was signed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from muster.attest.signers import TRUSTED_ROOT
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore_models.trustroot.v1 import CertificateAuthority, TransparencyLogInstance, TrustedRoot

_KINDS: Final = {
    "certificate_authorities": "authority",
    "tlogs": "transparency log",
    "ctlogs": "certificate log",
}
_ISSUER: Final = "1.3.6.1.4.1.57264.1.8"
_FORMER_ISSUER: Final = "1.3.6.1.4.1.57264.1.1"


def verifier_of(trusted_root: bytes, bundle: Bundle) -> Verifier:
    """Sigstore's own verifier, on what a pinned root trusted when the bundle was signed.

    Raises `Unusable` if this is no root, `Refused` if nothing of a kind counted then, and whatever a hostile bundle
    makes Sigstore's readers raise.
    """
    declared, times = _declared(trusted_root), _times(bundle)
    dropped: set[tuple[str, int]] = set()
    for kind, called in _KINDS.items():
        named = getattr(declared, kind)
        late = {(kind, at) for at, one in enumerate(named) if not all(_counted(one, time) for time in times)}
        if named and len(late) == len(named):
            raise Refused(f"no {called} of the trusted root counted when it was signed", "sign it again")
        dropped |= late
    return _verifier(trusted_root, frozenset(dropped))


def _times(bundle: Bundle) -> list[datetime]:
    """Every time that a bundle claims to be signed at, verified or not: whatever is trusted has to count at all."""
    entries = json.loads(bundle.to_json())["verificationMaterial"]["tlogEntries"]
    logged = [int(entry.get("integratedTime") or 0) for entry in entries]
    stamped = bundle.verification_material.timestamp_verification_data
    return [
        *(datetime.fromtimestamp(seconds, UTC) for seconds in logged if seconds),
        *(stamp.tst_info.gen_time for stamp in (stamped.rfc3161_timestamps if stamped else ())),
    ]


def _counted(one: CertificateAuthority | TransparencyLogInstance, time: datetime) -> bool:
    period = one.valid_for if hasattr(one, "valid_for") else one.public_key.valid_for
    return period is None or (period.start <= time and (period.end is None or time <= period.end))


@lru_cache(maxsize=4)
def _declared(trusted_root: bytes) -> TrustedRoot:
    from sigstore_models.trustroot.v1 import TrustedRoot

    with _no_root():
        return TrustedRoot.from_json(trusted_root)


@lru_cache(maxsize=8)
def _verifier(trusted_root: bytes, dropped: frozenset[tuple[str, int]]) -> Verifier:
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    declared = _declared(trusted_root)
    kept = {
        kind: [one for at, one in enumerate(getattr(declared, kind)) if (kind, at) not in dropped] for kind in _KINDS
    }
    with _no_root():
        return Verifier(trusted_root=TrustedRoot(declared.model_copy(update=kept)))


@contextlib.contextmanager
def _no_root() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Unusable(
            f"{TRUSTED_ROOT} is not a Sigstore trusted root", "take it from a client trust config: `trustedRoot`"
        ) from error


def names(certificate: Certificate, identity: str, issuer: str) -> bool:
    """True if the certificate is for exactly this identity, as told by exactly this issuer."""
    from sigstore.errors import VerificationError
    from sigstore.verify.policy import AllOf, AnyOf, Identity, OIDCIssuer, OIDCIssuerV2

    # Somebody else's identity is no error, it is the next one to be compared.
    with contextlib.suppress(VerificationError):
        # Certificates name their issuer in either of two extensions, or in both.
        named = AnyOf([OIDCIssuer(issuer), OIDCIssuerV2(issuer)])
        AllOf([Identity(identity=identity), named]).verify(certificate)
        return True
    return False


class Seen:
    """A policy of Sigstore's verifier that lets every certificate through and keeps it: who it names is judged later.

    A certificate counts for nothing until the verifier has returned without an error.
    """

    def __init__(self) -> None:
        self._certificate: Certificate | None = None

    def verify(self, cert: Certificate) -> None:
        """Keep the certificate."""
        self._certificate = cert

    @property
    def certificate(self) -> Certificate:
        """The certificate that the verifier looked at."""
        assert self._certificate is not None
        return self._certificate


def told(certificate: Certificate) -> tuple[str, str]:
    """Identity and issuer as a person reads them, hostile; to be shown and to be declared, never to be compared."""
    from cryptography.x509 import RFC822Name, SubjectAlternativeName, UniformResourceIdentifier

    found: Iterable[str] = ()
    with contextlib.suppress(Exception):
        alternatives = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
        found = [one.value for one in alternatives if isinstance(one, RFC822Name | UniformResourceIdentifier)]
    return ", ".join(found) or "nobody", _issuer(certificate) or "nobody"


def _issuer(certificate: Certificate) -> str:
    from asn1crypto.core import UTF8String
    from cryptography.x509 import UnrecognizedExtension

    for extension in certificate.extensions:
        value = extension.value
        with contextlib.suppress(Exception):
            if isinstance(value, UnrecognizedExtension) and extension.oid.dotted_string == _ISSUER:
                return str(UTF8String.load(value.value, strict=True).native)
            if isinstance(value, UnrecognizedExtension) and extension.oid.dotted_string == _FORMER_ISSUER:
                return value.value.decode()
    return ""
