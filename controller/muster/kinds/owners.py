"""Owners: who may approve what. Read from the base of a change, never from its head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.digest import Name
from muster.kinds.resource import AsTuple, Declared, Resource, Text

Role = Literal["ml", "firmware", "backend", "security", "qa", "policy", "release"]
"""What a person answers for. `firmware` is who owns the device or the app on it."""

Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?$")]
"""A person's name on the forge, without @. Compared without case, as forges do."""

PathPattern = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9._*][A-Za-z0-9._*-]*(/[A-Za-z0-9._*-]+)*$", max_length=200)
]
"""A path inside the repository: `*` stands for anything within a folder, `**` for any depth, a folder for all below."""

SshKey = Annotated[str, StringConstraints(pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+={0,3}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>]{1,64}@[^@\s<>]{1,190}$")]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}([0-9A-F]{24})?$")]


class GitsignIdentity(Declared):
    """Whom a gitsign certificate must name: exact identity and issuer, no patterns."""

    identity: Text
    issuer: Text


class Person(Declared):
    """One person: roles, and how to recognise what they wrote and signed.

    `addresses` are those of their commits. `approvalKeys` names SigningKey resources (use `approvals`) for approvals
    without a forge.
    """

    login: Login
    roles: Annotated[tuple[Role, ...], AsTuple, Field(max_length=7)] = ()
    addresses: Annotated[tuple[Address, ...], AsTuple, Field(max_length=8)] = ()
    ssh_keys: Annotated[tuple[SshKey, ...], AsTuple, Field(max_length=8)] = ()
    gpg_keys: Annotated[tuple[Fingerprint, ...], AsTuple, Field(max_length=8)] = ()
    gitsign: Annotated[tuple[GitsignIdentity, ...], AsTuple, Field(max_length=4)] = ()
    approval_keys: Annotated[tuple[Name, ...], AsTuple, Field(max_length=4)] = ()


class Ownership(Declared):
    """Changes below `paths` (or of these dotted `fields` of a release) need an approval by an owner.

    `owners` are logins, of whom one must approve; `roles` ask for one approval of each; all by different people. Of
    the entries without `fields`, the last that matches a path counts, as in CODEOWNERS; those with `fields` ask in
    addition.
    """

    paths: Annotated[tuple[PathPattern, ...], AsTuple, Field(min_length=1, max_length=64)]
    fields: Annotated[tuple[Text, ...], AsTuple, Field(max_length=16)] = ()
    owners: Annotated[tuple[Login, ...], AsTuple, Field(max_length=32)] = ()
    roles: Annotated[tuple[Role, ...], AsTuple, Field(max_length=7)] = ()
    why: Text | None = None


class OwnersSpec(Declared):
    """`policyOwners` approve weakenings, lower tiers and waivers; `namedApprovers` the regulated releases."""

    people: Annotated[tuple[Person, ...], AsTuple, Field(min_length=1, max_length=500)]
    policy_owners: Annotated[tuple[Login, ...], AsTuple, Field(min_length=1, max_length=32)]
    named_approvers: Annotated[tuple[Login, ...], AsTuple, Field(max_length=64)] = ()
    paths: Annotated[tuple[Ownership, ...], AsTuple, Field(max_length=200)] = ()


class Owners(Resource):
    """policies/owners.yaml"""

    kind: Literal["Owners"] = "Owners"
    spec: OwnersSpec

    def person(self, login: str) -> Person | None:
        """The person of that login, without case."""
        wanted = login.casefold()
        return next((person for person in self.spec.people if person.login.casefold() == wanted), None)
