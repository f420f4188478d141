"""`muster init`: what it makes passes `check`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from jsonschema import Draft202012Validator

from muster.build.environment import locked_versions
from muster.cli import cli, exit_code_of
from muster.source.load import Loader
from muster.source.new_fleet import fleet_files
from scratch_repository import commit_all, git, write

ROOT = Path(__file__).resolve().parents[2]


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
    for name in ("README.md", ".gitignore", "CODEOWNERS", "schemas/release.json", "builders/onnxruntime-1.31.lock"):
        assert name in git(folder, "ls-files").splitlines()
    assert [path.name for path in folder.parent.iterdir()] == ["fleet"]


def test_the_lock_is_this_repositorys_and_fits_the_class(tmp_path, capsys):
    """The default lock of `release new` is there, as it stands here, with the runtime that the new class declares."""
    assert exit_code_of(["init", str(tmp_path / "fleet")]) == 0
    lock = (tmp_path / "fleet" / "builders" / "onnxruntime-1.31.lock").read_bytes()
    assert lock == (ROOT / "builders" / "onnxruntime-1.31.lock").read_bytes()
    (device_class,) = Loader().work_tree(tmp_path / "fleet").fleet.device_classes
    assert locked_versions(lock)["onnxruntime"] == device_class.spec.runtime.version
    capsys.readouterr()


def test_the_policy_is_the_one_of_this_repository():
    """A new fleet starts with the tiers that this repository's own fleet has; only the comments are other ones.

    The rules of impact are about the program whose source is here, and about documents that a new fleet has not. And a
    new fleet names one person only.
    """
    ours = yaml.safe_load((ROOT / "policies" / "default.yaml").read_text())
    assert ours["spec"].pop("impact")
    ours["spec"]["tiers"][2]["namedApprovers"] = 1
    assert yaml.safe_load(fleet_files("my-model")["policies/default.yaml"]) == ours


def test_code_owners_go_from_general_to_particular():
    """The last match counts: no line stands after a narrower one that it would take over."""
    text = fleet_files("my-model")["CODEOWNERS"]
    rules = re.findall(r"^(?:# )?(\*|/[^\s]+)\s+@", text, flags=re.MULTILINE)
    assert rules[0] == "*"
    assert {"/releases/", "/devices/", "/policies/", "/builders/"} < set(rules)
    for index, rule in enumerate(rules):
        assert not [later for later in rules[index + 1 :] if rule.startswith(later) or later == "*"]


def test_the_readme_names_verbs_and_options_that_there_are():
    """Every command of a new fleet's README is taken by the command line as it stands, in the loop's order."""
    text = fleet_files("meter-reader")["README.md"]
    assert "MODEL" not in text
    blocks = "".join(re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    commands = [shlex.split(line) for line in re.findall(r"^\$ muster ([^>\n]*)", blocks, flags=re.MULTILINE)]
    said = []
    for words in commands:
        command: click.Command = cli
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, words
            said.append(words.pop(0))
            command = found
        command.make_context(said[-1], list(words))
    assert " ".join(said) == (
        "check policy test keys init keys new release new evidence rebuild check plan run agent enrol agent run wait "
        "get rollback keys new approve check"
    )


def test_a_new_fleets_policy_tests_hold(tmp_path, capsys):
    """What the first cases of a new fleet expect is what its policies say."""
    assert exit_code_of(["init", str(tmp_path / "fleet")]) == 0
    capsys.readouterr()
    assert exit_code_of(["policy", "test", str(tmp_path / "fleet"), "--committed"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 case, 0 failed"


PEOPLE = {
    "plain": ("Ada Lovelace <ada@example.org>", "ada", ("ada@example.org",)),
    "tagged": ("Ada <ada.lovelace+git@example.org>", "ada.lovelace-git", ("ada.lovelace+git@example.org",)),
    "all digits": ("Ada <123@example.org>", "123", ("123@example.org",)),
    "a word of YAML": ("Ada <null@example.org>", "null", ("null@example.org",)),
    "quotes and colons": ('Ada <"a:b]#@example.org>', "a-b", ('"a:b]#@example.org',)),
    "no letter that a login has": ("Ada <ä@example.org>", "owner", ("ä@example.org",)),
    "no address": ("Ada <ada>", "ada", ()),
    "a control character": ("Ada <a\x7fda@example.org>", "a-da", ()),
    "a placeholder": ("Ada <MODEL.LOGIN@example.org>", "MODEL.LOGIN", ("MODEL.LOGIN@example.org",)),
}


@pytest.mark.parametrize("name", sorted(PEOPLE))
def test_who_makes_a_fleet_is_its_first_owner(name, tmp_path):
    """Whatever address git knows, the owners file loads, and names a login and that address where they fit."""
    who, login, addresses = PEOPLE[name]
    write(tmp_path, {path: text for path, text in fleet_files("my-model", who).items() if path != "README.md"})
    loaded = Loader().work_tree(tmp_path)
    assert loaded.findings == ()
    (person,) = loaded.fleet.owners.spec.people
    assert (person.login, person.addresses) == (login, addresses)
    assert loaded.fleet.owners.spec.policy_owners == (login,)
    assert loaded.fleet.device_classes[0].spec.models == ("my-model",)


def test_what_one_person_can_merge(tmp_path, capsys):
    """Alone, without a forge: a stricter policy passes; a weaker one waits for another owner of policies."""
    folder = tmp_path / "fleet"
    assert exit_code_of(["init", str(folder)]) == 0
    policy = folder / "policies" / "default.yaml"
    text = policy.read_text()
    for branch, threshold, expected in (("stricter", "0.99", 0), ("weaker", "0.90", 1)):
        git(folder, "switch", "-q", "-c", branch, "main")
        policy.write_text(text.replace('threshold: "0.97"', f'threshold: "{threshold}"'))
        commit_all(folder)
        capsys.readouterr()
        assert exit_code_of(["check", str(folder), "--base", "main", "--head", branch]) == expected
    assert "weakening" in capsys.readouterr().out.lower()


def test_editors_find_their_schemas(tmp_path, capsys):
    """Every YAML file names a schema that is there and that it fits."""
    exit_code_of(["init", str(tmp_path / "fleet"), "-o", "json"])
    report = json.loads(capsys.readouterr().out)
    files = sorted(Path(report["folder"]).rglob("*.yaml"))
    assert len(files) == 7
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
