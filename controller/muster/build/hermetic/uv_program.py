"""Calling uv: its own program, bounded in time, with nothing of this process's Python in its surroundings."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from muster.kinds.errors import TryAgain, Unusable

SECONDS: Final = 1_800
"""Time for one call: some hundred megabytes over a slow line."""

_WITHOUT: Final = (
    "PYTHON",
    "VIRTUAL_ENV",
    "CONDA",
    "UV_PROJECT",
    "UV_PYTHON",
    "UV_CACHE",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
)
_PYTHON: Final = re.compile(r"3\.[0-9]{1,2}")
_UNREACHABLE: Final = ("error sending request", "Failed to fetch", "dns error", "client error (Connect)", "timed out")


def call_uv(arguments: Sequence[str], folder: Path) -> None:
    """Run uv in `folder`. Raises `TryAgain` if a registry does not answer, `Unusable` with uv's words for the rest.

    Addresses and credentials of registries are taken from where uv takes them: hashes decide what comes from there.
    """
    command = [_program(), *arguments, "--quiet", "--no-progress", "--color", "never", "--no-cache"]
    known = {name: value for name, value in os.environ.items() if not name.startswith(_WITHOUT)}
    surroundings = {**known, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROJECT": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - uv's own program, arguments of ours
            command,
            cwd=folder,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise TryAgain(f"uv took more than {SECONDS} seconds", "look at the way to the package registry") from error
    except OSError as error:
        raise TryAgain(f"uv cannot be run: {error.strerror}") from error
    if done.returncode:
        raise _refusal(done.stderr.decode(errors="replace"))


def _program() -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise Unusable(
            "uv is not installed: it makes the environments of builds", "install passmuster[controller]"
        ) from error


def _refusal(said: str) -> TryAgain | Unusable:
    text = " ".join(said.split())[:600] or "no reason given"
    if any(sign in said for sign in _UNREACHABLE):
        return TryAgain(
            f"no package registry answers: {text}", "try again, or build offline: muster builder vendor LOCK --to DIR"
        )
    if "No interpreter found" in said or "No virtual environment or system Python" in said:
        python = next(iter(_PYTHON.findall(said)), "VERSION")
        return Unusable(
            f"uv finds no Python for this lock: {text}", f"install that Python, such as: uv python install {python}"
        )
    return Unusable(
        f"uv does not make the environment: {text}",
        "compare the lock with this platform, and the wheelhouse with the lock: muster builder vendor LOCK --to DIR",
    )
