"""People: do the owners, and whatever names people by login or role, fit each other?

An address, a key or an approval key belongs to one person: it is how a person is told from another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from muster.kinds.checklist import Checklist
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.freeze import Freeze
from muster.kinds.owners import Owners, Person, Role
from muster.kinds.policy import Policy
from muster.kinds.signing_key import SigningKey
from muster.kinds.waiver import Waiver

OWNERS = "policies/owners.yaml"
_KEYS = "policies/keys/"

# What tells people apart: the field, how it is called, and how its values are compared.
_MARKS: tuple[tuple[str, str, Callable[[Person], list[str]]], ...] = (
    ("addresses", "address", lambda person: [address.casefold() for address in person.addresses]),
    ("sshKeys", "SSH key", lambda person: list(person.ssh_keys)),
    ("gpgKeys", "GPG key", lambda person: list(person.gpg_keys)),
    ("gitsign", "gitsign identity", lambda person: [f"{one.identity} ({one.issuer})" for one in person.gitsign]),
    ("approvalKeys", "approval key", lambda person: list(person.approval_keys)),
)


@dataclass(frozen=True)
class Naming:
    """Everything that names people, by path. `owners` is None where no owners are declared, or cannot be read."""

    owners: tuple[str, Owners] | None
    policies: Mapping[str, Policy]
    checklists: Mapping[str, Checklist]
    freezes: Mapping[str, Freeze]
    waivers: Mapping[str, Waiver]
    keys: Mapping[str, SigningKey]
    unreadable: Collection[str] = ()


def people_complaints(naming: Naming) -> Iterator[Complaint]:
    """Every complaint about people. If the owners cannot be read, what names them is taken as good."""
    if naming.owners is not None:
        path, owners = naming.owners
        yield from _twice(path, owners)
        yield from _approval_keys(path, owners, naming)
        for pointer, login in _named(path, owners, naming):
            if owners.person(login) is None:
                yield _unknown(pointer, login)
        yield from _policy_owners_only(owners, naming.waivers)
    if OWNERS not in naming.unreadable:
        yield from _too_few(naming)


def _twice(path: str, owners: Owners) -> Iterator[Complaint]:
    """People, and what tells them apart, that stand here more than once."""
    seen: dict[str, str] = {}
    held: dict[tuple[str, str], str] = {}
    for index, person in enumerate(owners.spec.people):
        login = person.login.casefold()
        if login in seen:
            pointer = Pointer(path, ("spec", "people", index, "login"))
            what = f"{person.login} is the person {seen[login]} already: logins are compared without case"
            yield Complaint(pointer, "duplicate", what, "keep one, with all roles and keys")
        seen.setdefault(login, person.login)
        for field, what, values in _MARKS:
            for number, value in enumerate(values(person)):
                holder = held.setdefault((field, value), person.login)
                if holder.casefold() != login:
                    pointer = Pointer(path, ("spec", "people", index, field, number))
                    message = f"this {what} is {holder}'s already"
                    yield Complaint(pointer, "duplicate", message, "give every person their own")


def _approval_keys(path: str, owners: Owners, naming: Naming) -> Iterator[Complaint]:
    keys = {key.metadata.name: key for key in naming.keys.values()}
    unread = {name.removeprefix(_KEYS).removesuffix(".yaml") for name in naming.unreadable if name.startswith(_KEYS)}
    for index, person in enumerate(owners.spec.people):
        for number, name in enumerate(person.approval_keys):
            pointer = Pointer(path, ("spec", "people", index, "approvalKeys", number))
            if name not in keys and name not in unread:
                yield Complaint(
                    pointer,
                    "dangling",
                    f"signing key {name} is not declared",
                    f"declare it in {_KEYS}{name}.yaml, with uses: [approvals]",
                )
            elif name in keys and "approvals" not in keys[name].spec.uses:
                uses = ", ".join(keys[name].spec.uses)
                what = f"signing key {name} is for {uses}, not for approvals"
                yield Complaint(pointer, "dangling", what, f"add approvals to its uses in {_KEYS}{name}.yaml")


def _named(path: str, owners: Owners, naming: Naming) -> Iterator[tuple[Pointer, str]]:
    """Every login that something names, and where."""
    spec = owners.spec
    for index, login in enumerate(spec.policy_owners):
        yield Pointer(path, ("spec", "policyOwners", index)), login
    for index, login in enumerate(spec.named_approvers):
        yield Pointer(path, ("spec", "namedApprovers", index)), login
    for number, entry in enumerate(spec.paths):
        for index, login in enumerate(entry.owners):
            yield Pointer(path, ("spec", "paths", number, "owners", index)), login
    for freeze_path, freeze in naming.freezes.items():
        for index, login in enumerate(freeze.spec.override_owners):
            yield Pointer(freeze_path, ("spec", "overrideOwners", index)), login
    for waiver_path, waiver in naming.waivers.items():
        yield Pointer(waiver_path, ("spec", "owner")), waiver.spec.owner


def _unknown(pointer: Pointer, login: str) -> Complaint:
    what = f"{login} is nobody of {OWNERS}"
    return Complaint(pointer, "dangling", what, "add the person to spec.people there, or name somebody who is in it")


def _policy_owners_only(owners: Owners, waivers: Mapping[str, Waiver]) -> Iterator[Complaint]:
    known = {login.casefold() for login in owners.spec.policy_owners}
    for path, waiver in waivers.items():
        owner = waiver.spec.owner
        if owners.person(owner) is not None and owner.casefold() not in known:
            what = f"{owner} is no policy owner, so nobody answers for this waiver"
            hint = f"name one of {', '.join(owners.spec.policy_owners[:8])}"
            yield Complaint(Pointer(path, ("spec", "owner")), "waiver", what, hint)


def _too_few(naming: Naming) -> Iterator[Complaint]:
    """Approvals that nobody, or not enough people, could ever give."""
    for pointer, role, count in _asked(naming):
        people = _with_role(naming, role)
        if people < count:
            has = f"{people} of {count} people" if people else "nobody"
            what = (
                f"{count} of {role} must approve, and {has} in {OWNERS} has that role"
                if people
                else (f"{role} must approve, and nobody in {OWNERS} has that role")
            )
            yield Complaint(pointer, "approvals", what, f"give the role to more people in {OWNERS}")
    if naming.owners is None:
        named, file = 0, OWNERS
    else:
        file, owners = naming.owners
        named = len({login.casefold() for login in owners.spec.named_approvers})
    for path, policy in naming.policies.items():
        for index, tier in enumerate(policy.spec.tiers):
            if tier.named_approvers > named:
                what = f"{tier.named_approvers} named approvers must approve, and {file} names {named}"
                pointer = Pointer(path, ("spec", "tiers", index, "namedApprovers"))
                yield Complaint(pointer, "approvals", what, f"name more in spec.namedApprovers of {OWNERS}")


def _asked(naming: Naming) -> Iterator[tuple[Pointer, Role, int]]:
    """(where, role, how many) of every approval by role."""
    for path, policy in naming.policies.items():
        for index, tier in enumerate(policy.spec.tiers):
            for number, asked in enumerate(tier.approvals):
                yield Pointer(path, ("spec", "tiers", index, "approvals", number)), asked.role, asked.count
    for path, checklist in naming.checklists.items():
        for index, item in enumerate(checklist.spec.items):
            role = item.answered_by.approval
            if role is not None:
                yield Pointer(path, ("spec", "items", index, "answeredBy", "approval")), role, 1
    if naming.owners is not None:
        path, owners = naming.owners
        for number, entry in enumerate(owners.spec.paths):
            for index, role in enumerate(entry.roles):
                yield Pointer(path, ("spec", "paths", number, "roles", index)), role, 1


def _with_role(naming: Naming, role: Role) -> int:
    people = naming.owners[1].spec.people if naming.owners else ()
    return len({person.login.casefold() for person in people if role in person.roles})
