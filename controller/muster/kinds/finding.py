"""Finding: what a check has to say, with its place and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1, 0 stands for the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Pointer:
    """A value inside a declared document, before anybody looked up where it stands in the file."""

    file: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One complaint: where, which rule, what is wrong, and what would be right."""

    place: Place
    rule: str
    message: str
    hint: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message} [{self.rule}]\n  hint: {self.hint}"


@dataclass(frozen=True)
class Complaint:
    """A finding that still points into a document; `source` turns the pointer into a place."""

    pointer: Pointer
    rule: str
    message: str
    hint: str
    severity: Literal["error", "warning"] = "error"
