"""The table of runtimes says what the installed runtime says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muster.build.onnx_runtime import VERSION
from muster.build.onnx_safety.asking import ask_versions, main
from muster.kinds.runtimes import loadable


def test_the_installed_runtime_loads_exactly_what_the_table_says() -> None:
    """Opsets inside the range load and those outside do not; so with IR versions."""
    assert loadable(VERSION) == ask_versions()


def test_the_answers_of_several_versions_become_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By number and not by letter: 1.9 comes before 1.10; rows as they stand in the tables."""
    for version, most in (("1.10.2", 22), ("1.9.1", 21)):
        operators = {"": {"Relu": {"14": True}, "Gelu": {"20": most == 22}}}
        loads = {"least_opset": 6, "most_opset": most, "most_ir": 10}
        text = json.dumps({"version": version, "loads": loads, "operators": operators})
        (tmp_path / f"{version}.json").write_text(text)
    main([str(path) for path in sorted(tmp_path.iterdir())])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ['    "1.9": Loadable(6, 21, 10),', '    "1.10": Loadable(6, 22, 10),']
    assert lines[3:5] == ['        "Gelu": "20:1.10",', '        "Relu": "14",']


@pytest.mark.parametrize("version", ["1.19.2", "2.0.0", "1.31.1+vendor", "1.31", "1.311.1", ""])
def test_versions_that_nobody_asked_are_unknown(version: str) -> None:
    """No version is guessed at, and no vendor's build is taken for the released one."""
    assert loadable(version) is None
