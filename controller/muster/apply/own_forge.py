"""The forge on which the controller proposes: GitHub where its surroundings name it, else branches of the origin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from muster.forge.forge import Forge
from muster.source.git import Repository


def own_forge(repository: Repository, branch: str, environ: Mapping[str, str]) -> Callable[[], Forge]:
    """Opens the forge. Reads GITHUB_REPOSITORY, GITHUB_TOKEN and GITHUB_API_URL; the API is asked once each time.

    Opening raises `Unusable` where the repository is named without a token.
    """

    def open_forge() -> Forge:
        if not environ.get("GITHUB_REPOSITORY"):
            from muster.forge.git.driver import from_repository

            return from_repository(repository, lambda: datetime.now(UTC), branch)
        from muster.forge.github.address import PUBLIC, Address
        from muster.forge.github.client import Client, Clock
        from muster.forge.github.driver import GitHub

        address = Address.of(environ.get("GITHUB_API_URL") or PUBLIC)
        client = Client(address, environ.get("GITHUB_TOKEN", ""), Clock(time.time, time.sleep), patience=0)
        return GitHub(client, environ["GITHUB_REPOSITORY"])

    return open_forge
