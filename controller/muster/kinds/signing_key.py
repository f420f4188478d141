"""SigningKey: a public key that the fleet trusts, and what for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.resource import AsTuple, Declared, Resource

KeyUse = Literal["artifacts", "evidence", "approvals", "packages"]

PublicKeyPem = Annotated[
    str,
    StringConstraints(
        pattern=r"^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n?$", max_length=2_000
    ),
]


class SigningKeySpec(Declared):
    """The public half; the private half never leaves the state folder of the controller."""

    scheme: Literal["ecdsa-p256-sha256"] = "ecdsa-p256-sha256"
    public_key: PublicKeyPem
    uses: Annotated[tuple[KeyUse, ...], AsTuple, Field(min_length=1, max_length=4)] = ("artifacts",)


class SigningKey(Resource):
    """policies/keys/<name>.yaml"""

    kind: Literal["SigningKey"] = "SigningKey"
    spec: SigningKeySpec
