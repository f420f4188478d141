"""Whose approval counts: people of the base who approved exactly the head, and did not write any of it.

What an approval says of itself counts for nothing: the person, the roles and the addresses are those of the base. An
author's address is only what a commit says; where that matters, `signedCommits` makes it proof.
"""

from __future__ import annotations

from collections.abc import Iterable

from muster.check.case import Case
from muster.kinds.owners import Owners, Person, Role

CHANGE = ""
"""What an approval of the whole change is an approval `of`."""


def person_of(owners: Owners | None, text: str) -> Person | None:
    """The person with this login or this address. Forges compare both without case.

    Only ASCII is compared: another letter's lower case can be an ASCII letter ("\\u212a" becomes "k").
    """
    if owners is None or not text.isascii():
        return None
    if "@" not in text:
        return owners.person(text)
    wanted = text.casefold()
    return next(
        (person for person in owners.spec.people if wanted in {one.casefold() for one in person.addresses}), None
    )


def authors(case: Case) -> frozenset[str] | None:
    """Logins (as the base spells them) of everybody who wrote or signed any of this; None if somebody is unknown.

    A login that is nobody of the base is known: it cannot approve. An address of nobody could be an approver's.
    """
    owners = case.change.base.owners
    request = case.request
    known: set[str] = set()
    if request.author is None and not request.commits:
        return None
    for commit in request.commits:
        signer = commit.signature.by if commit.signature.state == "good" else None
        written = [person for text in (commit.author, signer) if text and (person := person_of(owners, text))]
        if not written and ("@" in commit.author or not commit.author):
            return None
        known.update(person.login for person in written)
    if request.author is not None:
        asks = person_of(owners, request.author)
        if asks is None and "@" in request.author:
            return None
        known.update({asks.login} if asks else ())
    return frozenset(known)


def approved_by(case: Case, among: Iterable[str], of: str = CHANGE) -> tuple[str, ...]:
    """Who of `among` (logins) gave an approval of `of` that counts, as the base spells them, sorted.

    Nobody's counts where the authors are unknown, or no forge was asked.
    """
    wanted = {login.casefold() for login in among}
    wrote = authors(case)
    if wrote is None or not case.request.forge or not case.request.head:
        return ()
    found = {
        person.login
        for approval in case.request.approvals
        if approval.of == of and approval.commit == case.request.head
        if (person := person_of(case.change.base.owners, approval.by)) and "@" not in approval.by
    }
    return tuple(sorted(login for login in found - wrote if login.casefold() in wanted))


def outdated(case: Case, of: str = CHANGE) -> tuple[str, ...]:
    """Who approved an older head, and not this one. Sorted logins of people of the base."""
    people = case.change.base.owners
    current, older = set[str](), set[str]()
    for approval in case.request.approvals:
        person = person_of(people, approval.by)
        if approval.of == of and person is not None:
            (current if approval.commit == case.request.head else older).add(person.login)
    return tuple(sorted(older - current))


def eligible(case: Case, among: Iterable[str]) -> tuple[str, ...]:
    """Who of `among` is a person of the base and did not write any of the change, as the base spells them, sorted."""
    owners = case.change.base.owners
    wrote = authors(case) or frozenset()
    people = {person.login for login in among if (person := person_of(owners, login))}
    return tuple(sorted(people - wrote))


def with_role(owners: Owners | None, role: Role) -> frozenset[str]:
    """Logins of all people with this role."""
    return frozenset(person.login for person in owners.spec.people if role in person.roles) if owners else frozenset()


def policy_owners(case: Case) -> tuple[str, ...]:
    """Who may approve a weakening: the policy owners of the base who did not write it."""
    owners = case.change.base.owners
    return eligible(case, owners.spec.policy_owners if owners else ())
