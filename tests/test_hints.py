"""Every error that reaches a user says what would be right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "controller" / "muster"
ERRORS = {"Refused", "Unusable", "TryAgain"}
CLEAN = sorted(
    [
        *(
            path.relative_to(PACKAGE)
            for folder in ("build", "check", "source")
            for path in (PACKAGE / folder).glob("*.py")
        ),
        *(
            Path("apply", f"{name}.py")
            for name in ("publish", "tuf_keys", "tuf_metadata", "key_rotation", "key_setup", "static_files")
        ),
        *(Path("cli", f"{name}.py") for name in ("check", "init", "keys", "rollback", "verify")),
    ]
)


@pytest.mark.parametrize("file", CLEAN, ids=str)
def test_errors_have_hints(file: Path) -> None:
    """No error is raised with a message alone, or with an empty hint."""
    bare = [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse((PACKAGE / file).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS
        if len(node.args) + len(node.keywords) < 2 or ast.unparse([*node.args, *node.keywords][1]) in ("''", "None")
    ]
    assert bare == []
