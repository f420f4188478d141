"""The list of error codes is the one that the agent really has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

import muster.agent
from muster.kinds import ddi_feedback
from muster.kinds.digest import ErrorCode
from muster.kinds.error_codes import ERROR_CODES

AGENT = Path(next(iter(muster.agent.__path__)))
# Which argument of a call is a code.
CALLS = {"StepFailed": 0, "Postponed": 0, "Unhealthy": 0, "Keep": 0, "_leave_trial": 0, "Event": 2, "_with": 1}
# Text of the agent's that looks like a code and is none: keys of what it sends, reads and keeps.
OTHER = {"device_id", "device_class", "error_code", "last_sequence", "vouched_by", "waits_until"}
LOOKS_LIKE_ONE = re.compile(r"[a-z]+(_[a-z]+)+")


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted(AGENT.glob("*.py"))]


def texts(node: ast.AST | None) -> Iterator[str]:
    for one in ast.walk(node) if node else ():
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def codes_in_calls() -> set[str]:
    found: set[str] = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                place = CALLS.get(name)
                if place is not None and len(node.args) > place:
                    found.update(texts(node.args[place]))
    return found


def test_every_code_that_a_call_gives_is_listed() -> None:
    """Whatever the agent raises, keeps or reports as a code has a meaning in the list."""
    found = codes_in_calls()
    assert {"load_failed", "artifact_missing", "low_confidence", "quarantined"} <= found
    assert found - ERROR_CODES.keys() == set()


def test_every_text_that_looks_like_a_code_is_one() -> None:
    """A code that reaches a report in another way than by these calls is found by its look."""
    found = {text for tree in trees() for text in texts(tree) if LOOKS_LIKE_ONE.fullmatch(text)}
    assert found - ERROR_CODES.keys() - OTHER == set()


def test_every_listed_code_is_one_of_the_agent() -> None:
    """The list has no code that no device can report, be it by an update client."""
    clients = ast.parse(Path(ddi_feedback.__file__).read_text())
    said = {text for tree in (*trees(), clients) for text in texts(tree)}
    assert ERROR_CODES.keys() - said == set()


def test_codes_can_be_reported() -> None:
    """Telemetry takes every code, and every code says what it means."""
    for code, meaning in ERROR_CODES.items():
        TypeAdapter(ErrorCode).validate_python(code)
        assert len(meaning.split()) > 3
    assert list(ERROR_CODES) == sorted(ERROR_CODES)
