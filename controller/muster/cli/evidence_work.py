"""What every verb that makes evidence shares: its argument and options, and a release with all that the work needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli.builder_environment import run_in
from muster.cli.keyless import read_signer, signer_options
from muster.cli.output import output_option, state_option

if TYPE_CHECKING:
    from muster.artifacts.store import Store
    from muster.attest.keyless_signing import KeylessSigner
    from muster.build.hermetic.run import HermeticRun
    from muster.kinds.release import Release

_Command = TypeVar("_Command", bound=Callable[..., Any])


def making(command: _Command) -> _Command:
    """Argument and options of every verb that makes evidence."""
    for option in (
        output_option,
        state_option,
        click.option("--name", help="Name of the file; by default what it holds."),
        *signer_options,
        click.argument("release"),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Work:
    """A release with all that making evidence about it needs. `folder` is its repository's work tree."""

    folder: Path
    release: Release
    store: Store
    lock: bytes
    signer: bytes | KeylessSigner | None

    @classmethod
    def of(cls, given: dict[str, Any], *, signs: bool = True) -> Work:
        """Read it all; the key only if something is to be signed. Raises `Refused`, `Unusable`."""
        from muster.artifacts.store import Store
        from muster.build.declarations import locate_release, read_bounded, read_release
        from muster.build.environment import MAX_LOCK

        signer = read_signer(given) if signs else None
        folder, path = locate_release(given["release"], Path.cwd())
        declared = read_release(folder, path)
        lock = read_bounded(folder, declared.spec.builder.lock, MAX_LOCK)
        return cls(folder, declared, Store(Path(given["state"]) / "store"), lock, signer)

    @property
    def key(self) -> bytes | KeylessSigner:
        """What signs."""
        assert self.signer is not None, "this work was begun without a key"
        return self.signer

    def run(self, given: dict[str, Any]) -> HermeticRun:
        """How the stages run: see `environment_options`."""
        return run_in(given, self.release.spec.builder, self.lock, self.store.folder.parent)

    def superseded(self) -> Release | None:
        """The release that this one comes after, if its file is there."""
        from muster.build.declarations import read_release

        path = f"releases/{self.release.model}/{self.release.spec.supersedes}.yaml"
        return read_release(self.folder, path) if (self.folder / path).is_file() else None

    def write(self, name: str, predicate_type: str, predicate: dict[str, Any], *, also: Release | None = None) -> Path:
        """Sign the predicate, about this release (and another), into the file of that name, which may be there."""
        from muster.attest.evidence import evidence_file

        path = evidence_file(self.folder, self._path(name))
        self._sign(path, predicate_type, predicate, also)
        return path

    def write_once(self, statements: Mapping[str, tuple[str, dict[str, Any]]]) -> Path:
        """Sign each (type, predicate) into the file of its name, in that order; the path of the last.

        Raises `Refused`, with nothing written, if a file is there.
        """
        from muster.attest.evidence import free_evidence_file

        paths = [free_evidence_file(self.folder, self._path(name), "choose another --name") for name in statements]
        for path, (predicate_type, predicate) in zip(paths, statements.values(), strict=True):
            self._sign(path, predicate_type, predicate)
        return paths[-1]

    def _path(self, name: str) -> str:
        from muster.attest.evidence import evidence_path

        return evidence_path(self.release.spec.artifact.digest, name)

    def _sign(self, path: Path, predicate_type: str, predicate: dict[str, Any], also: Release | None = None) -> None:
        from muster.artifacts.durable import write_durably
        from muster.attest.evidence import sign_evidence

        about = {item.name: item.spec.artifact.digest for item in (self.release, also) if item is not None}
        write_durably(path, sign_evidence(about, predicate_type, predicate, self.key))
