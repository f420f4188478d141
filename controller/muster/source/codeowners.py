"""CODEOWNERS, made from the owners, so that the forge asks the same people whom the gate will look for.

The forge's file knows less: one approval by anybody of a line satisfies it, and it knows no fields. The gate decides.
"""

from __future__ import annotations

from muster.kinds.owners import Owners, Ownership

HEADER = """\
# Generated from policies/owners.yaml by `make docs`; edit that file.
# The forge asks these people for a review. Which approvals a change needs is decided by `muster check`.
"""


def codeowners(owners: Owners) -> str:
    """The file's text. Roles stand as the people who have them; entries about fields of a file are the gate's alone."""
    entries = [
        (path, _logins(owners, entry)) for entry in owners.spec.paths if not entry.fields for path in entry.paths
    ]
    width = max((len(path) for path, _ in entries), default=0) + 1
    lines = [f"/{path:{width}}{' '.join(f'@{login}' for login in logins)}".rstrip() for path, logins in entries]
    return HEADER + "".join(f"{line}\n" for line in lines)


def _logins(owners: Owners, entry: Ownership) -> list[str]:
    """The owners as declared, then everybody with one of the roles, each once."""
    named = [person for login in entry.owners if (person := owners.person(login))]
    named += [person for person in owners.spec.people if set(person.roles) & set(entry.roles)]
    return list(dict.fromkeys(person.login for person in named))
