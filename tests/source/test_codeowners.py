"""CODEOWNERS asks the people whom the gate would ask."""

from __future__ import annotations

from muster.source.codeowners import HEADER, codeowners
from reviewed_cases import make_owners

PATHS = [
    {"paths": ["controller", "docs/*.md"], "roles": ["ml", "firmware"]},
    {"paths": ["policies"], "owners": ["SAM"], "roles": ["policy"]},
    {"paths": ["releases"], "fields": ["spec.inference"], "roles": ["ml"]},
    {"paths": ["policies/tests"]},
]


def test_roles_stand_as_people():
    """Paths are anchored, in order, each person once; fields are the gate's alone."""
    assert codeowners(make_owners(paths=PATHS)) == HEADER + (
        "/controller     @ada @grace @linus\n"
        "/docs/*.md      @ada @grace @linus\n"
        "/policies       @sam @pia\n"
        "/policies/tests\n"
    )


def test_nobody_owns_anything():
    """Owners without paths ask nobody."""
    assert codeowners(make_owners()) == HEADER
