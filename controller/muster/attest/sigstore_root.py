"""The Sigstore trusted root of a repository, and who a certificate names. Nothing here asks a server.

The root is a file of the base, `policies/keys/sigstore.json`: authorities, certificate logs, transparency logs and
timestamp authorities, old ones with the time until which they counted. Keys rotate by a pull request that changes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from muster.attest.signers import TRUSTED_ROOT
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

_ISSUER: Final = "1.3.6.1.4.1.57264.1.8"
_FORMER_ISSUER: Final = "1.3.6.1.4.1.57264.1.1"


@lru_cache(maxsize=4)
def verifier_of(trusted_root: bytes) -> Verifier:
    """Sigstore's own verifier on a pinned root. Raises `Unusable` if this is none."""
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier
    from sigstore_models.trustroot.v1 import TrustedRoot as Declared

    try:
        return Verifier(trusted_root=TrustedRoot(Declared.from_json(trusted_root)))
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
