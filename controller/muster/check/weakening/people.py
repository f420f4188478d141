"""Owners: whether somebody may approve who might not before, and whether a path asks for fewer approvals.

Whoever proposes a change needs approvals for it, so every approver that the change adds is one that its author might
use; the author among them is said so. To lose a role or a key is no weakening, except of policy ownership.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from muster.check.change import path_of
from muster.check.weakening.looser import GONE, Weakening, listed, shown
from muster.check.weakening.ownership import weakened_ownership
from muster.kinds.finding import Pointer
from muster.kinds.owners import Owners, Person


def weakened_owners(base: Owners | None, head: Owners | None, author: str | None) -> Iterator[Weakening]:
    """Everything that the head's owners file loosens. A first owners file loosens nothing."""
    if base is None:
        return
    if head is None:
        before = f"policy owners {listed(base.spec.policy_owners)}"
        yield Weakening("policy-owners", "owners", before, GONE, Pointer(path_of(base)))
        return
    yield from _policy_owners(base, head, author)
    yield from _named_approvers(base, head, author)
    # Of two entries for one person the first counts, as when owners are looked up.
    known = {person.login.casefold(): person for person in reversed(base.spec.people)}
    for index, person in enumerate(head.spec.people):
        old = known.get(person.login.casefold(), Person(login=person.login))
        where = Pointer(path_of(head), ("spec", "people", index))
        yield from _roles(old, person, where, author)
        if person.roles or person.login.casefold() in _named(base) or old.login.casefold() in known:
            yield from _identities(old, person, where)
    yield from weakened_ownership(base, head, author)


def said(logins: Collection[str], author: str | None) -> str:
    """Why an added approver matters: that it is the author, or that nobody can rule it out."""
    if author is None:
        return "nobody can tell who asks for this change"
    if any(login.casefold() == author.casefold() for login in logins):
        return f"{author} asks for this change and would approve it"
    return "added by the change that needs the approval"


def _policy_owners(base: Owners, head: Owners, author: str | None) -> Iterator[Weakening]:
    before, after = _folded(base.spec.policy_owners), _folded(head.spec.policy_owners)
    if before == after:
        return
    added = after - before
    why = said(added, author) if added else f"{listed(before - after)} would not own policies any more"
    where = Pointer(path_of(head), ("spec", "policyOwners"))
    yield Weakening("policy-owners", "policy owners", listed(before), listed(after), where, why)


def _named_approvers(base: Owners, head: Owners, author: str | None) -> Iterator[Weakening]:
    before, after = _folded(base.spec.named_approvers), _folded(head.spec.named_approvers)
    if added := after - before:
        where = Pointer(path_of(head), ("spec", "namedApprovers"))
        yield Weakening("approver", "named approvers", listed(before), listed(after), where, said(added, author))


def _roles(old: Person, new: Person, where: Pointer, author: str | None) -> Iterator[Weakening]:
    if set(new.roles) - set(old.roles):
        place = Pointer(where.file, (*where.path, "roles"))
        why = said([new.login], author)
        yield Weakening("approver", f"roles of {new.login}", listed(old.roles), listed(new.roles), place, why)


def _identities(old: Person, new: Person, where: Pointer) -> Iterator[Weakening]:
    for field, before, after in (
        ("addresses", _folded(old.addresses), _folded(new.addresses)),
        ("sshKeys", set(old.ssh_keys), set(new.ssh_keys)),
        ("gpgKeys", set(old.gpg_keys), set(new.gpg_keys)),
        ("gitsign", _gitsign(old), _gitsign(new)),
        ("approvalKeys", set(old.approval_keys), set(new.approval_keys)),
    ):
        if added := after - before:
            place = Pointer(where.file, (*where.path, field))
            names = ", ".join(shown(name) for name in sorted(added))
            about = f"{field} of {new.login}"
            why = "whoever holds it signs and approves in that name"
            yield Weakening("identity", about, f"{len(before)} declared", f"also {names}", place, why)


def _gitsign(person: Person) -> set[str]:
    return {f"{known.identity} by {known.issuer}" for known in person.gitsign}


def _named(owners: Owners) -> set[str]:
    spec = owners.spec
    paths = [login for rule in spec.paths for login in rule.owners]
    return _folded([*spec.policy_owners, *spec.named_approvers, *paths])


def _folded(names: Collection[str]) -> set[str]:
    return {name.casefold() for name in names}
