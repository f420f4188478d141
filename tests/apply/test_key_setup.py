"""Making a controller's keys: once, completely, and without showing a secret."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from publishing import NOW, Site
from test_publish_crash import run_killed_at

from muster.apply.key_setup import ROOT_FILE, describe_keys, initialise_keys
from muster.apply.tuf_keys import TufKeys
from muster.cli import exit_code_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.signing_key import SigningKey


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "fleet").mkdir()
    return tmp_path / "fleet"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def secrets_of(state: Path) -> list[str]:
    texts = [path.read_text() for path in (state / "keys").iterdir()]
    return [max(text.splitlines(), key=len) if "PRIVATE" not in text else text.splitlines()[1] for text in texts]


def test_everything_is_made(tmp_path, repository):
    """One call makes seven secrets, the first root, and the two public files, which load as what they declare."""
    from ruamel.yaml import YAML

    made = initialise_keys(tmp_path / "state", repository, "controller", NOW)
    assert {path.name for path in (tmp_path / "state" / "keys").iterdir()} == {
        "signing.pem",
        "enrolment-token",
        "operator-token",
        "tuf-root.pem",
        "tuf-targets.pem",
        "tuf-snapshot.pem",
        "tuf-timestamp.pem",
    }
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state" / "keys").iterdir()} == {0o600}
    assert set(tree(repository)) == {"policies/keys/controller.yaml", ROOT_FILE}
    text = (repository / "policies" / "keys" / "controller.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../../schemas/signing-key.json\n")
    key = SigningKey.model_validate(YAML(typ="safe").load(text))
    assert (made.signing_key, "controller") == (key.spec.public_key, key.metadata.name)
    assert made.root == (repository / ROOT_FILE).read_bytes()
    assert len(made.made) == 9
    assert not any(secret in repr(made) for secret in secrets_of(tmp_path / "state"))


def test_again_changes_nothing(tmp_path, repository):
    """The second call, at any later time, makes nothing."""
    first = initialise_keys(tmp_path / "state", repository, "controller", NOW)
    before = tree(tmp_path)
    second = initialise_keys(tmp_path / "state", repository, "controller", NOW + timedelta(days=400))
    assert before == tree(tmp_path)
    assert second.made == ()
    assert (first.signing_key_id, first.root) == (second.signing_key_id, second.root)


def test_killed_at_every_step(tmp_path):
    """A kill at any step leaves nothing that the same call does not complete, with every file mode right."""
    for step in range(1, 200):
        state, fleet = tmp_path / str(step) / "state", tmp_path / str(step) / "fleet"
        fleet.mkdir(parents=True)
        done = run_killed_at(
            step, state.parent, lambda state=state, fleet=fleet: initialise_keys(state, fleet, "controller", NOW)
        )
        made = initialise_keys(state, fleet, "controller", NOW)
        assert made.root == (fleet / ROOT_FILE).read_bytes()
        assert len(describe_keys(state)) == 7
        assert {path.stat().st_mode & 0o777 for path in (state / "keys").iterdir()} == {0o600}
        if done:
            break
    assert 30 < step < 199


def test_the_owner_may_write_around_the_key(tmp_path, repository):
    """A declared key with comments or a description stays as it is; another key under that name is refused."""
    initialise_keys(tmp_path / "state", repository, "controller", NOW)
    path = repository / "policies" / "keys" / "controller.yaml"
    path.write_text(path.read_text().replace("spec:", "  description: ours\nspec:"))
    assert initialise_keys(tmp_path / "state", repository, "controller", NOW).made == ()
    with pytest.raises(Refused, match=r"controller\.yaml is there already"):
        initialise_keys(tmp_path / "other", repository, "controller", NOW)


def test_the_declared_root_is_never_replaced(tmp_path, repository):
    """A second controller cannot put its root where devices already trust another."""
    initialise_keys(tmp_path / "state", repository, "controller", NOW)
    root = (repository / ROOT_FILE).read_bytes()
    with pytest.raises(Refused, match=r"root\.json is there already"):
        initialise_keys(tmp_path / "other", repository, "other", NOW)
    assert root == (repository / ROOT_FILE).read_bytes()


def test_a_lost_online_key_is_not_made_anew(tmp_path, repository):
    """Once a root is made, a missing online key is reported and no new one is made."""
    initialise_keys(tmp_path / "state", repository, "controller", NOW)
    lost = tmp_path / "state" / "keys" / "tuf-timestamp.pem"
    lost.unlink()
    with pytest.raises(Refused, match="devices trust it already"):
        initialise_keys(tmp_path / "state", repository, "controller", NOW)
    assert not lost.exists()


def test_keys_that_are_kept_elsewhere(tmp_path, repository, capsys):
    """Root and targets key may be moved away: they are named as such, nothing is made anew, ids and root stay."""
    state = tmp_path / "state"
    made = initialise_keys(state, repository, "controller", NOW)
    before = [(key.name, key.key_id) for key in describe_keys(state)]
    moved = [state / "keys" / f"tuf-{role}.pem" for role in ("root", "targets")]
    for path in moved:
        path.unlink()
    again = initialise_keys(state, repository, "controller", NOW)
    assert (again.made, again.elsewhere, again.root) == ((), tuple(moved), made.root)
    found = describe_keys(state)
    assert [(key.name, key.key_id) for key in found] == before
    assert [key.name for key in found if key.mode is None] == ["tuf-root", "tuf-targets"]
    assert exit_code_of(["keys", "init", "--state", str(state), "--repository", str(repository)]) == 0
    said = capsys.readouterr().out
    assert said.count("kept elsewhere") == 2
    assert said.endswith("nothing to make\n")
    assert exit_code_of(["keys", "show", "--state", str(state)]) == 0
    assert capsys.readouterr().out.count("\telsewhere\t") == 2
    assert not [path for path in moved if path.exists()]


@pytest.mark.parametrize("name", ["", "../x", "Upper", "a/b", "a" * 64, "a\nb"])
def test_bad_names(tmp_path, repository, name):
    """The name becomes a path, so that it must be a DNS label; nothing is written into the work tree."""
    with pytest.raises(Unusable, match="no name for a key"):
        initialise_keys(tmp_path / "state", repository, name, NOW)
    assert tree(repository) == {}


def test_links_out_of_the_repository(tmp_path, repository):
    """A symbolic link in the work tree does not lead the public halves elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (repository / "policies").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="leads out of the repository"):
        initialise_keys(tmp_path / "state", repository, "controller", NOW)
    assert tree(tmp_path / "elsewhere") == {}


def test_without_a_repository(tmp_path):
    """Keys can be made on a machine that has no work tree; publishing works with them."""
    made = initialise_keys(tmp_path / "state", None, "controller", NOW)
    assert len(made.made) == 7
    Site(tmp_path / "state", TufKeys.load(tmp_path / "state" / "keys")).publish(1, "1.0.0")
    assert made.root == (tmp_path / "state" / "public" / "metadata" / "1.root.json").read_bytes()


def test_verbs(tmp_path, repository, capsys):
    """`keys init` and `keys show` print paths, ids and modes, as text and JSON, and no secret."""
    state = tmp_path / "state"
    init = ["keys", "init", "--state", str(state), "--repository", str(repository)]
    show = ["keys", "show", "--state", str(state)]
    assert exit_code_of(init) == 0
    first = capsys.readouterr().out
    assert f"git add {repository}/policies/keys/controller.yaml {repository}/policies/trust/root.json" in first
    assert exit_code_of(init) == 0
    assert capsys.readouterr().out == "nothing to make: every key is there\n"
    assert exit_code_of([*init, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["made"] == []
    assert exit_code_of(show) == 0
    text = capsys.readouterr().out
    assert [line.split("\t")[2] for line in text.splitlines()] == ["MODE", *["0600"] * 7]
    assert exit_code_of([*show, "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "-----BEGIN PUBLIC KEY-----" in data[0]["public"]
    for secret in secrets_of(state):
        assert secret not in first + text + json.dumps(data)


def test_verbs_refuse(tmp_path, repository, capsys):
    """Missing keys exit 2, keys that others can read exit 1; both with a hint and no traceback."""
    state = tmp_path / "state"
    assert exit_code_of(["keys", "show", "--state", str(state)]) == 2
    assert "hint: make it with: muster keys init" in capsys.readouterr().err
    assert exit_code_of(["keys", "init", "--state", str(state), "--repository", str(tmp_path / "none")]) == 2
    initialise_keys(state, repository, "controller", NOW)
    (state / "keys" / "operator-token").chmod(0o644)
    assert exit_code_of(["keys", "show", "--state", str(state)]) == 1
    assert "open to others" in capsys.readouterr().err
    shutil.rmtree(state)
    os.mkfifo(tmp_path / "pipe")
    assert exit_code_of(["keys", "init", "--state", str(tmp_path / "pipe"), "--repository", str(repository)]) == 2
