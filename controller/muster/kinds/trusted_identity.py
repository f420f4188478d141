"""TrustedIdentity: whose Sigstore certificates the fleet trusts, and what for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.resource import AsTuple, Declared, Resource

IdentityUse = Literal["artifacts", "evidence"]

Exact = Annotated[str, StringConstraints(pattern=r"^[!-)+-~]+$", max_length=1_000)]
"""Compared letter by letter. A star would look like a pattern, and nothing here is one."""


class TrustedIdentitySpec(Declared):
    """Exactly this `identity` (an address, or the URI of a workflow), as told by exactly this `issuer`.

    A certificate counts if an authority of `policies/keys/sigstore.json` made it. Use `artifacts` is for `muster
    verify`: a device asks for the signature of a SigningKey.
    """

    identity: Exact
    issuer: Exact
    uses: Annotated[tuple[IdentityUse, ...], AsTuple, Field(min_length=1, max_length=2)] = ("evidence",)


class TrustedIdentity(Resource):
    """policies/identities/<name>.yaml"""

    kind: Literal["TrustedIdentity"] = "TrustedIdentity"
    spec: TrustedIdentitySpec

    @property
    def signer(self) -> str:
        """What evidence is said to be signed by: no key has such a name."""
        return f"identities/{self.metadata.name}"
