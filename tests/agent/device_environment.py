"""A fresh environment with exactly what `passmuster[agent]` asks for, and what that asks for in turn: no network.

The libraries are those of the environment that runs the tests, each linked into the new one; nothing else is there.
"""

from __future__ import annotations

import tomllib
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def make_environment(folder: Path) -> Path:
    """Its interpreter."""
    venv.create(folder, symlinks=True, with_pip=False)
    site = next(folder.glob("lib/python3.*/site-packages"))
    for name in sorted(closure("agent")):
        _link(distribution(name), site)
    (site / "muster.pth").write_text(f"{ROOT / 'controller'}\n")
    return folder / "bin" / "python"


def closure(extra: str) -> frozenset[str]:
    """Names of everything that this extra installs here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"][extra])]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        for asked in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), asked)
            if key in seen:
                continue
            seen.add(key)
            more = [Requirement(text) for text in distribution(requirement.name).requires or ()]
            waiting += [one for one in more if one.marker is None or one.marker.evaluate({"extra": asked})]
    return frozenset(name for name, _ in seen)


def _link(found: Distribution, site: Path) -> None:
    for file in found.files or ():
        top, source = file.parts[0], Path(str(found.locate_file(file)))
        if top in ("..", "__pycache__") or not source.exists():
            continue
        package = Path(str(found.locate_file(top)))
        if (package / "__init__.py").exists():
            # A whole package is one link; what several distributions share is linked file by file.
            source, target = package, site / top
        else:
            target = site / file
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
