"""`muster init`: what it makes passes `check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from muster.cli import exit_code_of
from muster.source.load import Loader
from scratch_repository import git


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A machine on which nobody told git their name."""
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_a_new_fleet_passes_check(tmp_path, capsys):
    """One commit on main, clean, without a complaint, for the model that was asked for."""
    folder = tmp_path / "new" / "fleet"
    assert exit_code_of(["init", str(folder), "--model", "meter-reader"]) == 0
    assert exit_code_of(["check", str(folder)]) == 0
    assert capsys.readouterr().err == ""
    assert git(folder, "status", "--porcelain", "--branch") == "## main"
    assert git(folder, "log", "--format=%an <%ae>") == "muster init <muster@localhost>"
    (device_class,) = Loader().work_tree(folder).fleet.device_classes
    assert device_class.spec.models == ("meter-reader",)
    assert device_class.spec.may_be_empty
    for name in ("README.md", ".gitignore", "CODEOWNERS", "schemas/release.json"):
        assert (folder / name).is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["fleet"]


def test_editors_find_their_schemas(tmp_path, capsys):
    """Every YAML file names a schema that is there and that it fits."""
    exit_code_of(["init", str(tmp_path / "fleet"), "-o", "json"])
    report = json.loads(capsys.readouterr().out)
    files = sorted(Path(report["folder"]).rglob("*.yaml"))
    assert len(files) == 4
    for file in files:
        first = file.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        schema = json.loads((file.parent / first).read_text())
        Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))


def test_the_users_name_is_used(tmp_path, capsys):
    """Whoever told git their name commits under it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n")
    assert exit_code_of(["init", str(tmp_path / "fleet")]) == 0
    assert git(tmp_path / "fleet", "log", "--format=%an <%ae>") == "Ada Lovelace <ada@example.org>"
    capsys.readouterr()


def test_in_an_empty_folder(tmp_path, monkeypatch, capsys):
    """`muster init .` works where one stands."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert exit_code_of(["init", "."]) == 0
    assert exit_code_of(["check"]) == 0
    capsys.readouterr()


def test_refusals(tmp_path, capsys):
    """A folder with anything in it, a file, and a model that is no name are refused; nothing is left behind."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for folder in ("full", "full/x"):
        assert exit_code_of(["init", str(tmp_path / folder)]) == 1
        assert "not an empty folder" in capsys.readouterr().err
    assert exit_code_of(["init", str(tmp_path / "other"), "--model", "../x"]) == 2
    assert "not a name for a model" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert exit_code_of(["init", str(tmp_path / "full" / "x" / "below")]) == 2
    assert "cannot write" in capsys.readouterr().err
