"""The scratch fleet repository: a bare remote and a clone, in which the story's commits are made."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from muster.kinds.errors import TryAgain, Unusable
from muster.source.edit import set_rollout
from muster.source.git_program import run_git

MODEL = "meter-reader"
CANARY_LIMIT = "5%"
OWNER = "Demo owner"
_WHO = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", OWNER), ("EMAIL", "owner@fleet.example"))
}


@dataclass(frozen=True)
class ScratchRepository:
    """`remote` is bare and is what the controller reconciles; `clone` is where a person works."""

    remote: Path
    clone: Path
    base: str
    """The commit of the source repository that the story begins on."""
    releases: Mapping[str, str]
    """Version → the release file that the source repository declares."""

    @classmethod
    def make(cls, source: Path, folder: Path) -> ScratchRepository:
        """Clone the newest commit of `source`. Raises `Unusable` if it is not this project's own repository."""
        remote, clone = folder / "fleet.git", folder / "fleet"
        _git(folder, "clone", "--quiet", "--bare", "--no-hardlinks", "--", str(source.absolute()), str(remote))
        _git(remote, "update-ref", "refs/heads/main", "HEAD")
        _git(remote, "symbolic-ref", "HEAD", "refs/heads/main")
        _git(folder, "clone", "--quiet", "--branch", "main", "--", str(remote), str(clone))
        paths = sorted((clone / "releases" / MODEL).glob("*.yaml"))
        if len(paths) < 3:
            raise Unusable(
                f"{source} does not declare the three releases of {MODEL}", "run the demo in a clone of this project"
            )
        base = _git(clone, "rev-parse", "HEAD")
        return cls(remote, clone, base, {path.stem: path.read_text() for path in paths})

    def begin(self, health_window: str, poll_interval: str, files: Mapping[str, bytes]) -> str:
        """The first commit of the story: only 1.0.0 is declared, for everyone, and devices confirm within seconds.

        `files` by path come with it.
        """
        for name, data in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_bytes(data)
        for version in self.releases:
            if version != "1.0.0":
                self._path(version).unlink()
        self._path("1.0.0").write_text(set_rollout(self.releases["1.0.0"], {"canary": "100%", "fleet": "100%"}))
        policy = self.clone / "policies" / "default.yaml"
        policy.write_text(_quicker(policy.read_text(), health_window, poll_interval))
        return self._commit("Begin: every device reads meters with 1.0.0")

    def roll_out(self, version: str, cohorts: Mapping[str, str], subject: str) -> str:
        """Declare a release at these percentages; the commit."""
        self.pull()
        path = self._path(version)
        text = path.read_text() if path.exists() else self.releases[version]
        path.write_text(set_rollout(text, cohorts))
        return self._commit(subject)

    def pull(self) -> None:
        """Take over what the controller committed."""
        _git(self.clone, "pull", "--quiet", "--ff-only")

    def log(self) -> list[str]:
        """Subjects of all commits of the story, newest first."""
        return _git(self.clone, "log", "--format=%h %an: %s", f"{self.base}..HEAD").splitlines()

    def head(self) -> str:
        """The newest commit of the remote."""
        return _git(self.remote, "rev-parse", "refs/heads/main")

    def _path(self, version: str) -> Path:
        return self.clone / "releases" / MODEL / f"{version}.yaml"

    def _commit(self, subject: str) -> str:
        _git(self.clone, "add", "--all")
        _git(self.clone, "commit", "--quiet", "--message", subject)
        _git(self.clone, "push", "--quiet", "origin", "main")
        return _git(self.clone, "rev-parse", "HEAD")


def _quicker(policy: str, health_window: str, poll_interval: str) -> str:
    """The policy with short waits: what takes ten minutes in a fleet takes seconds here."""
    from ruamel.yaml import YAML

    editor = YAML()
    editor.preserve_quotes = True
    document = editor.load(policy)
    for tier in document["spec"]["tiers"]:
        tier["health"]["window"] = health_window
        tier["health"]["pollInterval"] = poll_interval
        for guardrail in tier["guardrails"]:
            # Four canaries must be able to show harm: three failures in a row do against 5 %, five against 20 %.
            guardrail["limit"] = CANARY_LIMIT
    text = io.StringIO()
    editor.dump(document, text)
    return text.getvalue()


def _git(folder: Path, *arguments: str) -> str:
    answer = run_git(arguments, folder, environment=_WHO)
    if answer.code != 0:
        raise TryAgain(f"git {arguments[0]}: {answer.reason}")
    return answer.text.strip()
