"""The frame of the command line: light, and without tracebacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from muster import cli

HEAVY = ("numpy", "onnx", "onnxruntime", "pydantic", "sqlalchemy", "starlette", "tuf", "yaml", "rich", "urllib3")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_help_loads_no_heavy_library() -> None:
    """`muster --help` imports click and the frame, nothing else of weight."""
    code = f"""
import sys
from muster.cli import exit_code_of
exit_code_of(["--help"])
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    assert run_python(code).splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb of the table can be loaded and explains itself."""
    assert cli.exit_code_of([verb, "--help"]) == 0
    assert "Usage: muster" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["no-such-verb"], ["check", "--no-such-option"], ["get", "everything"], ["run", "--listen", "nowhere"]],
)
def test_bad_usage_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Bad usage is told on standard error, without a traceback."""
    assert cli.exit_code_of(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_internal_error_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw is one line, and exit 2."""
    monkeypatch.setitem(cli.VERBS, "get", ("muster.no_such_module:get", "broken"))
    monkeypatch.delenv("MUSTER_DEBUG", raising=False)
    assert cli.exit_code_of(["get"]) == 2
    assert capsys.readouterr().err.startswith("error: internal error: ModuleNotFoundError")
