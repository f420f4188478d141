"""`muster rebuild` as a user runs it: one queue per key, verdicts in the work tree or on a branch, exit codes."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from meter_example import ROOT, filled_store, release
from muster.attest.evidence import read_evidence
from muster.attest.keys import key_id, public_half
from muster.build.measuring.machine import this_machine
from muster.build.rebuilding.attempts import alone
from muster.cli import exit_code_of
from muster.kinds.digest import hex_of
from muster.kinds.evidence import PROVENANCE, REBUILD, REBUILD_TYPE, Evidence, Rebuild
from muster.kinds.signing_key import SigningKey
from scratch_repository import commit_all, git, make_repository

NAMES = ["meter-reader/1.0.0", "meter-reader/1.1.0", "meter-reader/1.2.0"]
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64",
    reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)",
)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three releases, and a store of their sources: nothing built."""
    folder = tmp_path_factory.mktemp("rebuilt") / "fleet"
    for name in ("devices", "builders", "policies"):
        shutil.copytree(ROOT / name, folder / name)
    for name in NAMES:
        path = folder / f"releases/{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / f"releases/{name}.yaml", path)
    (folder / ".gitignore").write_text(".muster/\n")
    make_repository(folder, "main")
    filled_store(folder / ".muster/store")
    for name in ("one", "two"):
        assert exit_code_of(["keys", "new", name, "--use", "evidence", "--state", str(folder / ".muster")]) == 0
    commit_all(folder, "a fleet")
    return folder


@pytest.fixture
def fleet(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in."""
    shutil.copytree(pristine, tmp_path / "fleet")
    monkeypatch.chdir(tmp_path / "fleet")
    monkeypatch.delenv("MUSTER_STATE", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return tmp_path / "fleet"


def run(*arguments: str, key: str = "one") -> int:
    """The verb in this process's environment, whose tools are the locked ones."""
    where = ["--environment", "own", "--no-vary", "--key", f".muster/keys/named/{key}.pem"]
    return exit_code_of(["rebuild", *where, *arguments])


def verdicts(fleet: Path, name: str, artifact: str | None = None, kind: str = REBUILD) -> list[Evidence]:
    """What the first key said of a release in the work tree, read as a gate reads it."""
    key = "one"
    pem = public_half((fleet / f".muster/keys/named/{key}.pem").read_bytes())
    declared = SigningKey.model_validate({"metadata": {"name": key}, "spec": {"publicKey": pem, "uses": ["evidence"]}})
    folder = f"evidence/{hex_of(artifact or release(name.rpartition('/')[2]).spec.artifact.digest)}"
    paths = sorted((fleet / folder).glob("*.json"))
    found = [read_evidence(f"{folder}/{path.name}", path.read_bytes(), [declared]) for path in paths]
    return [one for one in found if one.signer == key and one.predicate_type == kind]


def predicate(found: Evidence) -> Rebuild:
    """What the verdict says."""
    assert (found.predicate_type, found.problem) == (REBUILD, None)
    return Rebuild.model_validate(found.predicate)


def test_everything_gets_a_verdict_and_nothing_twice(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GOOD with a log of its stages; a second look finds nothing; another key has a queue of its own."""
    assert run("--once") == 0
    assert capsys.readouterr().out.count("GOOD at L2: every output is its pin") == len(NAMES)
    for name in NAMES:
        (found,) = verdicts(fleet, name)
        rebuilt = predicate(found)
        assert (rebuilt.release, rebuilt.verdict, rebuilt.level) == (name, "GOOD", "L2")
        assert (rebuilt.cpu, rebuilt.emulated_on) == (this_machine().cpu, None)
        (provenance,) = verdicts(fleet, name, kind=PROVENANCE)
        assert provenance.predicate["buildDefinition"]["buildType"] == REBUILD_TYPE
        assert provenance.path == found.path.replace(".json", "-provenance.json")
        assert any(
            f" quantize: {release(name.rpartition('/')[2]).spec.stages.quantized}," in line for line in rebuilt.log
        )
    assert run("--once") == 0
    assert capsys.readouterr().out == "nothing is due\n"
    commit_all(fleet, "verdicts")
    assert run("--once") == 0
    assert capsys.readouterr().out == "nothing is due\n"
    assert run("meter-reader/1.0.0", "-o", "json", key="two") == 0
    assert [one["release"] for one in json.loads(capsys.readouterr().out)] == ["meter-reader/1.0.0"]


def test_a_release_that_pins_other_bytes_is_bad(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BAD, exit 1, and it stays: it is not built until it comes out right."""
    path = fleet / "releases/meter-reader/1.0.0.yaml"
    pinned, other = release("1.0.0").spec.artifact.digest, "sha256:" + "9" * 64
    path.write_text(path.read_text().replace(pinned, other))
    commit_all(fleet, "other bytes")
    assert run("releases/meter-reader/1.0.0.yaml") == 1
    rebuilt = predicate(verdicts(fleet, "meter-reader/1.0.0", other)[0])
    assert rebuilt.verdict == "BAD"
    assert rebuilt.log[-1].endswith(f"BAD at L1: artifact: pinned {other}, found {pinned}")
    capsys.readouterr()
    assert run("meter-reader/1.0.0") == 0
    assert capsys.readouterr().out == "nothing is due\n"


def test_a_missing_input_is_tried_again_and_then_unknown(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not told at first, exit 2; with no patience UNKNOWN is signed; a release that is named is tried nevertheless."""
    store = fleet / ".muster/store"
    shutil.rmtree(store)
    assert run("meter-reader/1.2.0") == 2
    assert "could not tell, again at 20" in capsys.readouterr().out
    assert verdicts(fleet, "meter-reader/1.2.0") == []
    shutil.rmtree(fleet / ".muster/rebuilder")
    assert run("meter-reader/1.2.0", "--attempts", "1") == 2
    assert predicate(verdicts(fleet, "meter-reader/1.2.0")[0]).verdict == "UNKNOWN"
    filled_store(store)
    assert run("--once", "-o", "json") == 0
    assert {one["release"] for one in json.loads(capsys.readouterr().out.partition("\n[")[2].join(("[", "")))} == set(
        NAMES[:2]
    )
    assert run("meter-reader/1.2.0") == 0


def test_verdicts_are_committed(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To the branch that is checked out, with the work tree, or to another, whose tip then says what is judged."""
    git(fleet, "branch", "verdicts")
    assert run("--once", "--commit") == 0
    assert git(fleet, "log", "-1", "--format=%s", "main").endswith("GOOD at L2")
    assert git(fleet, "rev-list", "--count", "main") == "4"
    assert git(fleet, "status", "--porcelain") == ""
    assert all(len(verdicts(fleet, name)) == 1 for name in NAMES)
    assert run("--once", "--branch", "verdicts", "--cpu", "486-none") == 2
    assert run("--once", "--branch", "verdicts", key="two") == 0
    assert git(fleet, "rev-list", "--count", "main..verdicts") == "3"
    capsys.readouterr()
    assert run("--once", "--branch", "verdicts", key="two") == 0
    assert capsys.readouterr().out == "nothing is due\n"


def test_what_strangers_signed_takes_nothing_out_of_the_queue(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does a file that cannot be read, or a link."""
    assert run("meter-reader/1.0.0", key="two") == 0
    folder = fleet / f"evidence/{hex_of(release('1.0.0').spec.artifact.digest)}"
    (folder / "broken.json").write_text("{")
    (folder / "linked.json").symlink_to("/etc/passwd")
    capsys.readouterr()
    assert run("meter-reader/1.0.0", "-o", "json") == 0
    assert [one["verdict"] for one in json.loads(capsys.readouterr().out)] == ["GOOD"]


def test_a_folder_that_leads_elsewhere_is_not_written_to(fleet: Path, tmp_path: Path) -> None:
    """Nothing comes to lie outside of the repository, and nothing is claimed."""
    (tmp_path / "elsewhere").mkdir()
    (fleet / "evidence").symlink_to(tmp_path / "elsewhere")
    assert run("meter-reader/1.0.0") == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-o", "json"], 2),
        (["meter-reader/9.9.9"], 1),
        (["--once", "--cpu", "Nehalem,+avx2"], 2),
        (["--once", "--revision", "nowhere"], 2),
        (["--once", "--branch", "../main"], 2),
    ],
    ids=str,
)
def test_what_cannot_be_asked(arguments: list[str], code: int, fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is told, with a way out, and nothing is written."""
    assert run(*arguments) == code
    said = capsys.readouterr().err
    assert "hint:" in said
    assert "internal error" not in said
    assert not (fleet / "evidence").exists()


@needs_qemu
def test_another_cpu_is_told_as_emulated(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has a queue of its own, and the verdict names the model and the real machine. Builds there: test_varied."""
    shutil.rmtree(fleet / ".muster/store")
    assert run("meter-reader/1.0.0", "--attempts", "1") == 2
    assert run("meter-reader/1.0.0", "--attempts", "1", "--cpu", "Nehalem") == 2
    found = {predicate(one).cpu: predicate(one) for one in verdicts(fleet, "meter-reader/1.0.0")}
    rebuilt = found["x86_64/emulated/Nehalem"]
    assert (rebuilt.verdict, rebuilt.emulated_on) == ("UNKNOWN", this_machine().cpu)
    assert found[this_machine().cpu].emulated_on is None
    capsys.readouterr()
    assert run("--once", "--cpu", "Nehalem", "--attempts", "1") == 2
    assert "meter-reader/1.0.0" not in capsys.readouterr().out


_DIES = """
import os, signal, sys
from muster.attest.rebuild_verdicts import Verdicts
from muster.build.rebuilding.attempts import Attempts
from muster.cli import exit_code_of

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(*{"before": (Verdicts, "publish", die), "after": (Attempts, "told", die)}[sys.argv[1]])
exit_code_of(sys.argv[2:])
"""


@pytest.mark.parametrize(("when", "left"), [("before", 0), ("after", 1)])
def test_a_kill_costs_no_verdict_and_makes_no_second(
    when: str, left: int, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL between build and publication, or right after it: there is one verdict in the end, and one only."""
    arguments = [
        "rebuild",
        "meter-reader/1.0.0",
        "--environment",
        "own",
        "--no-vary",
        "--key",
        ".muster/keys/named/one.pem",
    ]
    killed = subprocess.run([sys.executable, "-c", _DIES, when, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(verdicts(fleet, "meter-reader/1.0.0")) == left
    assert run("meter-reader/1.0.0") == 0
    assert ("nothing is due" in capsys.readouterr().out) == (left == 1)
    (found,) = verdicts(fleet, "meter-reader/1.0.0")
    assert (predicate(found).verdict, predicate(found).level) == ("GOOD", "L2")


def test_one_key_rebuilds_once_at_a_time(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second rebuilder with the same queue would sign the same verdicts again: it is told to wait."""
    with alone(fleet / ".muster/rebuilder" / f"{own_queue(fleet)}.json"):
        assert run("meter-reader/1.0.0") == 2
        assert "another rebuilder with this key is at work" in capsys.readouterr().err
    assert run("meter-reader/1.0.0") == 0


def own_queue(fleet: Path) -> str:
    """The name of the first key's queue."""
    return hex_of(key_id(public_half((fleet / ".muster/keys/named/one.pem").read_bytes())))[:16]
