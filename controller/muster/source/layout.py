"""Which file declares what: the one table of folders.

    releases/<model>/<version>.yaml     Release
    devices/classes/<name>.yaml         DeviceClass
    devices/cohorts/<name>.yaml         Cohort
    policies/<name>.yaml                Policy
    policies/keys/<name>.yaml           SigningKey

Other YAML below these folders is a complaint, so that a misplaced file never counts for nothing in silence. Files of
other types are nobody's business here.
"""

from __future__ import annotations

import re

from muster.kinds.cohort import Cohort
from muster.kinds.device_class import DeviceClass
from muster.kinds.fleet import AnyResource
from muster.kinds.policy import Policy
from muster.kinds.release import Release
from muster.kinds.signing_key import SigningKey

FOLDERS = ("releases", "devices", "policies")

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PLACES: tuple[tuple[re.Pattern[str], type[AnyResource]], ...] = (
    (re.compile(rf"releases/{_NAME}/{_NAME}\.yaml"), Release),
    (re.compile(rf"devices/classes/{_NAME}\.yaml"), DeviceClass),
    (re.compile(rf"devices/cohorts/{_NAME}\.yaml"), Cohort),
    (re.compile(rf"policies/{_NAME}\.yaml"), Policy),
    (re.compile(rf"policies/keys/{_NAME}\.yaml"), SigningKey),
)

WHERE = (
    "releases/<model>/<version>.yaml, devices/classes/<name>.yaml, devices/cohorts/<name>.yaml, "
    "policies/<name>.yaml or policies/keys/<name>.yaml"
)

PATH_HINT = "name it folder/file: no .., no .git, no backslash, no hyphen at its beginning"


def kind_at(path: str) -> type[AnyResource] | None:
    """The kind that a file of this path declares."""
    return next((kind for pattern, kind in _PLACES if pattern.fullmatch(path)), None)


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
