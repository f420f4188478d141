"""Whose approval counts: people of the base who approved exactly the head, and did not write any of it.

What an approval says of itself counts for nothing: the person, the roles and the addresses are those of the base. An
author's address is only what a commit says; where that matters, `signedCommits` makes it proof.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from muster.kinds.owners import Owners, Person, Role
from muster.kinds.pull_request import Approval, PullRequest

CHANGE = ""
"""What an approval of the whole change is an approval `of`."""


@dataclass(frozen=True)
class Reviews:
    """A pull request as the people of the base see it; `owners` are those of the base."""

    owners: Owners | None
    request: PullRequest

    def person(self, text: str) -> Person | None:
        r"""The person with this login or this address. Forges compare both without case.

        Only ASCII is compared: another letter's lower case can be an ASCII letter ("\u212a" becomes "k").
        """
        return self._people.get(text.casefold()) if text.isascii() else None

    @cached_property
    def authors(self) -> frozenset[str] | None:
        """Logins (as the base spells them) of everybody who wrote or signed any of this; None if somebody is unknown.

        A login that is nobody of the base is known: it cannot approve. An address of nobody could be an approver's.
        """
        known: set[str] = set()
        if self.request.author is None and not self.request.commits:
            return None
        for commit in self.request.commits:
            signer = commit.signature.by if commit.signature.state == "good" else None
            written = [person for text in (commit.author, signer) if text and (person := self.person(text))]
            if not written and ("@" in commit.author or not commit.author):
                return None
            known.update(person.login for person in written)
        if self.request.author is not None:
            asks = self.person(self.request.author)
            if asks is None and "@" in self.request.author:
                return None
            known.update({asks.login} if asks else ())
        return frozenset(known)

    def approvers(self, of: str = CHANGE) -> frozenset[str]:
        """Everybody whose approval of `of` counts, as the base spells them.

        Nobody's counts where the authors are unknown, or no forge was asked.
        """
        if self.authors is None or not self.request.forge or not self.request.head:
            return frozenset()
        given = self._approvals.get(of, ())
        return frozenset(person.login for one, person in given if one.commit == self.request.head) - self.authors

    def approved_by(self, among: Iterable[str], of: str = CHANGE) -> tuple[str, ...]:
        """Who of `among` (logins in any case) gave an approval of `of` that counts, as the base spells them, sorted."""
        return tuple(sorted(self.approvers(of) & self._logins(among)))

    def outdated(self, of: str = CHANGE) -> tuple[str, ...]:
        """Who approved an older head, and not this one. Sorted logins."""
        given = self._approvals.get(of, ())
        current = {person.login for one, person in given if one.commit == self.request.head}
        return tuple(sorted({person.login for _, person in given} - current))

    def eligible(self, among: Iterable[str]) -> tuple[str, ...]:
        """Who of `among` is a person of the base and did not write any of the change, sorted."""
        return tuple(sorted(self._logins(among) - (self.authors or frozenset())))

    def with_role(self, role: Role) -> frozenset[str]:
        """Logins of all people with this role."""
        return self._roles.get(role, frozenset())

    @cached_property
    def policy_owners(self) -> tuple[str, ...]:
        """Who may approve a weakening: the policy owners of the base who did not write it."""
        return self.eligible(self.owners.spec.policy_owners if self.owners else ())

    def _logins(self, among: Iterable[str]) -> set[str]:
        """These logins as the base spells them; without those of nobody."""
        return {person.login for login in among if (person := self.person(login)) and "@" not in login}

    @cached_property
    def _roles(self) -> Mapping[Role, frozenset[str]]:
        people = self.owners.spec.people if self.owners else ()
        roles = {role for person in people for role in person.roles}
        return {role: frozenset(person.login for person in people if role in person.roles) for role in roles}

    @cached_property
    def _people(self) -> Mapping[str, Person]:
        people = self.owners.spec.people if self.owners else ()
        by_address = {address.casefold(): person for person in people for address in person.addresses}
        return by_address | {person.login.casefold(): person for person in people}

    @cached_property
    def _approvals(self) -> Mapping[str, Collection[tuple[Approval, Person]]]:
        found: dict[str, list[tuple[Approval, Person]]] = {}
        for one in self.request.approvals:
            person = self.person(one.by)
            if person is not None and "@" not in one.by:
                found.setdefault(one.of, []).append((one, person))
        return found
