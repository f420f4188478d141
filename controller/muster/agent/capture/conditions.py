"""What the device says of itself: whether it charges, and whether its connection is metered. The owner says how to ask.

settings.json in the folder `capture`, written by the device's owner:

    {"locale": "de-DE", "facts": {"file": "/run/device-facts.json"}}
    {"locale": "de-DE", "facts": {"command": ["/usr/local/bin/device-facts"]}}

The file, or what the command prints, is JSON: {"metered": false, "charging": true}. What it does not say, or what
cannot be read, is not known, and what is not known does not hold.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from muster.agent.capture.place import CapturePlace
from muster.agent.folder import read_bounded
from muster.kinds.capture import CaptureConditions, Locale
from muster.kinds.errors import Unusable
from muster.kinds.resource import AsTuple, Declared

_LIMIT = 64 * 1024
_SECONDS = 5.0

_Word = Annotated[str, StringConstraints(min_length=1, max_length=4_096, pattern=r"^[^\x00]+$")]


class Source(Declared):
    """A file, or a command without a shell. Absolute: nobody's search path decides what is run."""

    file: Annotated[str, StringConstraints(pattern=r"^/[^\x00]+$", max_length=4_096)] | None = None
    command: Annotated[tuple[_Word, ...], AsTuple, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Source:
        if (self.file is None) == (self.command is None):
            raise ValueError("name a file or a command, one of them")
        if self.command is not None and not self.command[0].startswith("/"):
            raise ValueError("name the command by its absolute path")
        return self


class Settings(Declared):
    """`locale`: what samples are marked with, unless the application says another."""

    locale: Locale | None = None
    facts: Source | None = None


class Facts(BaseModel):
    """None: not known. More may be told; it is not looked at."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    metered: bool | None = None
    charging: bool | None = None

    def allow(self, conditions: CaptureConditions) -> bool:
        """True if everything that is asked for is known to hold."""
        return (not conditions.unmetered or self.metered is False) and (
            not conditions.charging or self.charging is True
        )


NOTHING_KNOWN = Facts()


def read_settings(place: CapturePlace) -> Settings:
    """What the owner wrote. Raises `Unusable` if it cannot be read; a missing file says nothing."""
    if not place.settings.exists():
        return Settings()
    try:
        return Settings.model_validate_json(read_bounded(place.settings, _LIMIT))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise Unusable(f"{place.settings}: {where}: {first['msg']}", "see docs/capture.md") from error


def ask(source: Source | None) -> Facts:
    """Ask the device now."""
    if source is None:
        return NOTHING_KNOWN
    try:
        data = read_bounded(Path(source.file), _LIMIT) if source.file is not None else _printed(source.command or ())
        return Facts.model_validate_json(data)
    except (Unusable, ValidationError):
        return NOTHING_KNOWN


def _printed(command: tuple[str, ...]) -> bytes:
    """What the command prints within its time, if it ends well. Raises `Unusable`."""
    with tempfile.TemporaryFile() as printed:
        try:
            done = subprocess.run(  # noqa: S603 - the device's owner names it, by its absolute path
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C"},
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise Unusable(f"cannot run {command[0]}: {type(error).__name__}") from error
        printed.seek(0)
        if done.returncode != 0:
            raise Unusable(f"{command[0]} ended with {done.returncode}")
        return printed.read(_LIMIT)
