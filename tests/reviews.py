"""Pull requests for tests: a scratch repository, a branch with changes, and the judgement of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from muster.check.judgement import Judgement
from muster.kinds.field_state import FieldState
from muster.kinds.pull_request import PullRequest
from muster.review.review import review
from muster.source.git import Repository
from muster.source.load import Loader
from scratch_repository import commit_all, git, repository_of, write

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Proposal:
    """A repository whose branch `topic` proposes changes to `main`. Its work tree shows `topic`."""

    def __init__(self, folder: Path, base: Mapping[str, str | bytes]) -> None:
        self.repository: Repository = repository_of(folder, base)
        self.folder = folder
        git(folder, "checkout", "-q", "-b", "topic")

    def change(self, files: Mapping[str, str | bytes | None], message: str = "change") -> str:
        """Commit files to `topic` (None deletes); the new commit's id."""
        write(self.folder, {path: text for path, text in files.items() if text is not None})
        for path in [path for path, text in files.items() if text is None]:
            (self.folder / path).unlink()
        return commit_all(self.folder, message)

    def on_main(self, files: Mapping[str, str | bytes]) -> str:
        """Commit files to `main` meanwhile."""
        git(self.folder, "checkout", "-q", "main")
        write(self.folder, files)
        commit = commit_all(self.folder, "meanwhile")
        git(self.folder, "checkout", "-q", "topic")
        return commit

    def review(
        self, loader: Loader | None = None, controller: FieldState | None = None, **request: object
    ) -> Judgement:
        """What becomes of merging `topic` into `main`."""
        base, head = self.repository.resolve("main"), self.repository.resolve("topic")
        asked = PullRequest(base=base, head=head, **request)  # type: ignore[arg-type]
        return review(self.repository, asked, NOW, controller, loader or Loader())


def failing(judgement: Judgement) -> set[str]:
    """Rules that block."""
    return {verdict.rule for verdict in judgement.verdicts if verdict.blocks}
