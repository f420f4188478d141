"""Which file declares what: the one table of folders.

    releases/<model>/<version>.yaml     Release
    devices/classes/<name>.yaml         DeviceClass
    devices/cohorts/<name>.yaml         Cohort
    policies/owners.yaml                Owners
    policies/checklist.yaml             Checklist
    policies/freezes/<name>.yaml        Freeze
    policies/waivers/<name>.yaml        Waiver
    policies/tests/<name>.yaml          PolicyTest
    policies/<name>.yaml                Policy
    policies/keys/<name>.yaml           SigningKey
    policies/identities/<name>.yaml     TrustedIdentity
    policies/channels/<name>.yaml       Channel

Other YAML below these folders is a complaint, so that a misplaced file never counts for nothing in silence. Files of
other types are nobody's business here.
"""

from __future__ import annotations

import re

from muster.kinds.fleet import KINDS, AnyResource

FOLDERS = ("releases", "devices", "policies")

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PLACES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"releases/{_NAME}/{_NAME}\.yaml"), "Release"),
    (re.compile(rf"devices/classes/{_NAME}\.yaml"), "DeviceClass"),
    (re.compile(rf"devices/cohorts/{_NAME}\.yaml"), "Cohort"),
    (re.compile(r"policies/owners\.yaml"), "Owners"),
    (re.compile(r"policies/checklist\.yaml"), "Checklist"),
    (re.compile(rf"policies/{_NAME}\.yaml"), "Policy"),
    (re.compile(rf"policies/freezes/{_NAME}\.yaml"), "Freeze"),
    (re.compile(rf"policies/waivers/{_NAME}\.yaml"), "Waiver"),
    (re.compile(rf"policies/tests/{_NAME}\.yaml"), "PolicyTest"),
    (re.compile(rf"policies/keys/{_NAME}\.yaml"), "SigningKey"),
    (re.compile(rf"policies/identities/{_NAME}\.yaml"), "TrustedIdentity"),
    (re.compile(rf"policies/channels/{_NAME}\.yaml"), "Channel"),
)

WHERE = (
    "releases/<model>/<version>.yaml, devices/classes/<name>.yaml, devices/cohorts/<name>.yaml, "
    "policies/<name>.yaml or policies/{keys,identities,channels,freezes,waivers,tests}/<name>.yaml"
)

PATH_HINT = "name it folder/file: no .., no .git, no backslash, no hyphen at its beginning"


def kind_at(path: str) -> type[AnyResource] | None:
    """The kind that a file of this path declares."""
    name = kind_name_at(path)
    return KINDS[name] if name else None


def kind_name_at(path: str) -> str | None:
    """The name of the kind that a file of this path declares."""
    return next((name for pattern, name in _PLACES if pattern.fullmatch(path)), None)


def is_yaml(path: str) -> bool:
    """True if the file's name says that it is YAML."""
    return path.lower().endswith((".yaml", ".yml"))


def leaves_the_tree(path: str) -> bool:
    """True for a path that could read or write outside of its tree, or that git or another system could misread.

    The one rule for paths that come in, by whatever way: of a crafted tree, of a caller, of the command line.
    """
    parts = path.split("/")
    climbs = any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
    return climbs or path.startswith("-") or "\0" in path or "\\" in path
