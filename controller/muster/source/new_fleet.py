"""A new fleet repository: files that pass `muster check`, and their first commit.

The files are those of `templates/`, with MODEL for the model's name, LOGIN and ADDRESS for the person who makes it; the
schemas; and the builder locks, which the wheel carries beside the templates and a source tree has at its top.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from muster.kinds.digest import Name
from muster.kinds.errors import Refused, Unusable
from muster.kinds.owners import Address, Login
from muster.source.git import Repository, make_repository
from muster.source.git_program import run_git
from muster.source.identity import author
from muster.source.schema import schema_files

AUTHOR = "muster init <muster@localhost>"

_LOCKS = "builders"
# A file of its own name would be read by the git of this repository too.
_RENAMED = {"gitignore": ".gitignore"}


def make_fleet(folder: Path, model: str) -> Repository:
    """Make a repository at `folder` (new or empty) whose first commit declares a fleet for one model.

    Everything is made beside the folder and moved in at the end, `.git` last. Raises `Refused` for a folder that is
    not empty, `Unusable` for one that cannot be written or a model that is not a name.
    """
    check_name(model)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Refused(f"{folder} is not an empty folder", "name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".muster-init-", dir=folder.resolve().parent) as beside:
            scratch = Path(beside)
            repository = make_repository(scratch, "main")
            who = author(repository, AUTHOR)
            for name, text in fleet_files(model, who).items():
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            _first_commit(repository, model, who)
            for child in sorted(scratch.iterdir(), key=lambda path: path.name == ".git"):
                shutil.move(child, folder / child.name)
    except OSError as error:
        raise Unusable(f"cannot write {error.filename or folder}: {error.strerror}", "name another folder") from error
    return Repository(folder)


def _first_commit(repository: Repository, model: str, who: str) -> None:
    name, address = _name_and_address(who)
    identity = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": address,
    }
    for arguments in (["add", "--all"], ["commit", "--quiet", "-m", f"Declare an empty fleet for {model}"]):
        answer = run_git(arguments, repository.path, environment=identity)
        if answer.code != 0:
            hint = "see that git works and that the disk has space, then run it again: nothing was left behind"
            raise Unusable(f"cannot make the first commit: {answer.reason}", hint)


def _name_and_address(who: str) -> tuple[str, str]:
    name, _, address = who.rstrip(">").partition(" <")
    return name, address


def check_name(model: str) -> None:
    """Raises `Unusable` if the model is not a name."""
    if not _fits(Name, model):
        hint = "write lower-case letters, digits and inner hyphens, 63 at most"
        raise Unusable(f"not a name for a model: {model[:80]!r}", hint)


def fleet_files(model: str, who: str = AUTHOR) -> dict[str, str]:
    """Path → text of a new fleet whose first owner is `who` ("Name <address>").

    Raises `Unusable` if the model is not a name, or the installation lacks files.
    """
    check_name(model)
    values = {"MODEL": model, **_person(who)}
    placeholder = re.compile("|".join(values))
    templates = resources.files("muster.source") / "templates"
    try:
        files = {
            _RENAMED.get(path, path): placeholder.sub(lambda match: values[match[0]], text)
            for path, text in _texts(templates)
        }
        files |= {f"builders/{lock.name}": lock.read_text(encoding="utf-8") for lock in _locks(templates)}
    except OSError as error:
        raise Unusable(f"cannot read {error.filename}: {error.strerror}", "install passmuster again") from error
    return files | {f"schemas/{name}": text for name, text in schema_files().items()}


def _person(who: str) -> dict[str, str]:
    """The login and the address, as YAML. What does not fit becomes `owner`, and no address."""
    _, address = _name_and_address(who)
    login = re.sub(r"[^A-Za-z0-9_.-]+", "-", address.partition("@")[0][:64]).strip("_.-")
    fits = _fits(Address, address) and address.isprintable()
    return {"LOGIN": login if _fits(Login, login) else "owner", "ADDRESS": json.dumps(address) if fits else ""}


def _fits(pattern: Any, text: str) -> bool:
    try:
        TypeAdapter(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def _texts(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        path = f"{above}{entry.name}"
        if entry.is_dir():
            yield from _texts(entry, f"{path}/") if path != _LOCKS else ()
        else:
            yield path, entry.read_text(encoding="utf-8")


def _locks(templates: Traversable) -> list[Traversable]:
    """The builder locks: of the wheel (see pyproject.toml), else of the source tree that this file lies in."""
    source_tree = Path(__file__).resolve().parents[3]
    for folder in (templates / _LOCKS, source_tree / _LOCKS):
        if folder.is_dir() and (found := [entry for entry in folder.iterdir() if entry.name.endswith(".lock")]):
            return found
    raise Unusable("this installation carries no builder locks", "install passmuster again, from its wheel")
