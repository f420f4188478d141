"""`muster evidence` and `muster keys new` as a user runs them: exit codes, messages, files."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from builder_environments import lend
from meter_example import LOCK, ROOT, filled_store, release
from muster.agent.folder import DeviceFolder
from muster.agent.identity import Identity, write_identity
from muster.artifacts.store import Store
from muster.attest.evidence import read_evidence, sign_evidence
from muster.attest.keys import key_id, new_private_key, public_half
from muster.build.pipeline import build_release
from muster.check.case import Case
from muster.check.change import difference
from muster.check.gates.decide import gate_verdicts
from muster.check.gates.table import GATE_KINDS
from muster.cli import exit_code_of
from muster.kinds.digest import hex_of
from muster.kinds.evidence import (
    LARGEST,
    MEASUREMENT,
    PROVENANCE,
    REBUILD,
    REBUILD_TYPE,
    REHEARSAL,
    Evidence,
    Measurement,
)
from muster.kinds.policy import Gate
from muster.kinds.pull_request import PullRequest
from muster.kinds.signing_key import SigningKey
from muster.source.load import Loader

RELEASE = "releases/meter-reader/1.2.0.yaml"
ARTIFACT = release("1.2.0").spec.artifact.digest
FOLDER = f"evidence/{hex_of(ARTIFACT)}"
KEY = ".muster/keys/named/lab.pem"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this repository declares, a store with both releases built, and a key of its own."""
    folder = tmp_path_factory.mktemp("evidence")
    for name in ("releases", "devices", "builders", "policies"):
        shutil.copytree(ROOT / name, folder / name)
    store = filled_store(folder / ".muster/store")
    for version in ("1.1.0", "1.2.0"):
        build_release(release(version), store, LOCK)
    assert exit_code_of(["keys", "new", "lab", "--use", "evidence", "--state", str(folder / ".muster")]) == 0
    return folder


@pytest.fixture
def fleet(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in."""
    shutil.copytree(pristine, tmp_path / "fleet")
    monkeypatch.chdir(tmp_path / "fleet")
    monkeypatch.delenv("MUSTER_STATE", raising=False)
    return tmp_path / "fleet"


def run(*arguments: str, environment: str = "own") -> int:
    """A verb of the group, with the key. What is rebuilt in this process no gate believes."""
    where = ("--environment", environment, "--no-vary") if arguments[0] == "rebuild" else ()
    group = () if arguments[0] == "measure" else ("evidence",)
    return exit_code_of([*group, *arguments, *where, "--key", KEY])


def written(fleet: Path, name: str) -> Evidence:
    """The file of that name, read as a gate reads it: by the declared key."""
    declaration = {
        "metadata": {"name": "lab"},
        "spec": {"publicKey": public_half((fleet / KEY).read_bytes()), "uses": ["evidence"]},
    }
    path = f"{FOLDER}/{name}.json"
    found = read_evidence(path, (fleet / path).read_bytes(), [SigningKey.model_validate(declaration)])
    assert found.problem is None
    assert found.signer == "lab"
    assert ARTIFACT in found.subjects
    assert found.made_at is not None
    return found


def test_measure(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One signed file with every metric that needs no device, and a table of it."""
    assert run("measure", RELEASE) == 0
    found = written(fleet, "measurement")
    measured = Measurement.model_validate_json(json.dumps(found.predicate))
    assert found.predicate_type == MEASUREMENT
    assert {result.metric for result in measured.results} == {
        "accuracy",
        "artifact-size",
        "calibration-overlap",
        "calibration-samples",
        "fairness-gap",
        "inference-cost",
        "package-size",
        "robustness",
    }
    package = next(result for result in measured.results if result.metric == "package-size")
    assert package.value > release("1.2.0").spec.artifact.size + 1_000
    shown = capsys.readouterr().out
    assert "accuracy\t-\t0.996428571\t0.996428571\t0.989285714\t280" in shown
    assert f"wrote {fleet}/{FOLDER}/measurement.json" in shown


def declare(fleet: Path, name: str, line: str) -> None:
    """Add a line to the spec of a device class."""
    path = fleet / f"devices/classes/{name}.yaml"
    path.write_text(path.read_text().replace("spec:\n", f"spec:\n  {line}\n"))


def test_measure_on_a_device(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of its own for the class; answers with its CPU's instructions into another, or why there are none.

    What was not compared is said.
    """
    Store(fleet / ".muster/store").path(release("1.1.0").spec.artifact.digest).unlink()
    declare(fleet, "cam-edge", "cpu: Haswell")
    emulates = shutil.which("qemu-x86_64") is not None and platform.machine() == "x86_64"
    command = ["measure", "meter-reader/1.2.0", "--class", "cam-edge"]
    assert run(*command, "-o", "json") == (0 if emulates else 2)
    said = capsys.readouterr()
    found = written(fleet, "measurement-cam-edge")
    measured = Measurement.model_validate_json(json.dumps(found.predicate))
    assert {result.device_class for result in measured.results} == {"cam-edge"}
    assert (measured.where, len(measured.coverage) > 3) == ("native", True)
    assert "is not in the store" in measured.environment["superseded"]
    assert {result.metric for result in measured.results} == {
        "cold-latency",
        "delegate-active",
        "load-time",
        "p50-latency",
        "p95-latency",
        "p99-latency",
        "peak-ram",
    }
    if emulates:
        answers = written(fleet, "measurement-cam-edge-emulated").predicate
        assert [found.predicate, answers] == [one["predicate"] for one in json.loads(said.out)["measurements"]]
        assert (answers["environment"]["cpu"], answers["where"]) == ("x86_64/emulated/Haswell", "emulated")
        assert {one["metric"] for one in answers["results"]} == {"accuracy", "fairness-gap", "robustness"}
    else:
        assert "with the instructions of Haswell was not measured" in said.err
    assert run(*command, "--cpu", "Nehalem") == 2
    assert "cam-edge has Haswell, not 'Nehalem'" in capsys.readouterr().err
    assert run(*command, "--soak", "1ms") == 0
    soaked = written(fleet, "soak-cam-edge").predicate["results"]
    assert [(result["metric"], result["deviceClass"]) for result in soaked] == [("soak", "cam-edge")]


def test_measure_on_a_reference_device(fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The job needs no key, its digest goes with it, and the record of a declared device becomes evidence."""
    command = ["measure", "meter-reader/1.2.0", "--class", "cam-day"]
    assert exit_code_of([*command, "--job", "day.job", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    device = DeviceFolder(tmp_path / "device")
    device.path.mkdir()
    fields = {"device_id": "bench-7", "device_class": "cam-day", "labels": {}, "models": ("meter-reader",)}
    write_identity(device, Identity(**fields, server="https://127.0.0.1"))
    there = ["agent", "measure", told["file"], "--folder", str(device.path), "--out", "record.json", "--soak", "1ms"]
    assert exit_code_of([*there, "--digest", "sha256:" + "0" * 64]) == 1
    assert exit_code_of([*there, "--digest", told["digest"]]) == 0
    assert run(*command, "--from", "record.json") == 1
    assert "bench-7 is no reference device of cam-day" in capsys.readouterr().err
    declare(fleet, "cam-day", "referenceDevices: [bench-7]")
    assert run(*command, "--from", "record.json") == 0
    found = written(fleet, "soak-cam-day").predicate
    assert (found["where"], found["environment"]["device"]) == ("reference-device", "bench-7")
    assert run(*command, "--from", told["file"]) == 2
    with device.held():
        assert exit_code_of([*there, "--digest", told["digest"]]) == 1
    assert "another agent runs" in capsys.readouterr().err


def test_provenance(fleet: Path) -> None:
    """Of a build that really ran, by a builder that is named."""
    assert run("provenance", RELEASE, "--builder", "https://ci.example.org/onnx") == 0
    found = written(fleet, "provenance")
    assert found.predicate_type == PROVENANCE
    assert found.predicate["runDetails"]["builder"]["id"] == "https://ci.example.org/onnx"


def test_gates_believe_what_the_verbs_make(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The documented example of every gate that needs no device holds for 1.2.0, but for the one it must fail."""
    declaration = fleet / "policies/keys/lab.yaml"
    declaration.parent.mkdir(exist_ok=True)
    pem = public_half((fleet / KEY).read_bytes())
    spec = {"scheme": "ecdsa-p256-sha256", "publicKey": pem, "uses": ["evidence"]}
    key = {"apiVersion": "muster/v1", "kind": "SigningKey", "metadata": {"name": "lab"}, "spec": spec}
    declaration.write_text(yaml.safe_dump(key))
    assert run("rebuild", RELEASE) == 0
    assert {"rebuilt"} <= {verdict.gate for verdict in gate_verdicts(_case(fleet)) if verdict.outcome == "fail"}
    lend(fleet / ".muster")
    for verb in ("measure", "provenance", "rebuild"):
        assert run(verb, RELEASE, environment="lock") == 0
    capsys.readouterr()
    verdicts = {verdict.gate: verdict for verdict in gate_verdicts(_case(fleet)) if verdict.device_class is None}
    # 20 kernels take a quarter more than the 16 of the release that it supersedes.
    costlier = [name for name, verdict in verdicts.items() if verdict.outcome != "pass"]
    assert costlier == ["no-costlier"]
    assert verdicts["no-costlier"].measured.startswith("1.25 (14720 over ")
    assert len(verdicts) > 8


def _case(fleet: Path) -> Case:
    """1.2.0 proposed to a fleet whose tiers ask for the documented example of every gate."""
    head = Loader().work_tree(fleet).fleet_or_refuse("the fleet")
    gates = tuple(Gate.model_validate(dict(kind.example)) for kind in GATE_KINDS.values())
    policy = head.policies[0]
    tiers = tuple(tier.model_copy(update={"gates": gates}) for tier in policy.spec.tiers)
    strict = policy.model_copy(update={"spec": policy.spec.model_copy(update={"tiers": tiers})})
    head = replace(head, policies=(strict,))
    base = replace(head, releases=tuple(item for item in head.releases if item.version != "1.2.0"))
    paths = sorted(path.relative_to(fleet) for path in (fleet / "evidence").rglob("*.json"))
    found = tuple(read_evidence(str(path), (fleet / path).read_bytes(), base.signing_keys) for path in paths)
    return Case(difference(base, head, ()), PullRequest("a" * 40, "b" * 40), datetime.now(UTC), found)


def test_rebuild_keeps_every_verdict(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good one exits 0, and a file that is there is not replaced."""
    assert run("rebuild", RELEASE, "--name", "rebuild-here") == 0
    found = written(fleet, "rebuild-here")
    assert (found.predicate_type, found.predicate["verdict"], found.predicate["level"]) == (REBUILD, "GOOD", "L2")
    beside = written(fleet, "rebuild-here-provenance").predicate["buildDefinition"]
    assert (beside["buildType"], beside["internalParameters"]["level"]) == (REBUILD_TYPE, "L2")
    before = (fleet / FOLDER / "rebuild-here.json").read_bytes()
    assert run("rebuild", RELEASE, "--name", "rebuild-here") == 1
    assert "is there already, and stays" in capsys.readouterr().err
    assert (fleet / FOLDER / "rebuild-here.json").read_bytes() == before
    assert run("rebuild", RELEASE) == 0
    assert len(list((fleet / FOLDER).glob("rebuild-2*.json"))) == 2


def test_a_bad_rebuild_is_recorded_and_exits_1(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the output that differs; one that could not be told exits 2."""
    path = fleet / RELEASE
    path.write_text(path.read_text().replace("reduceRange: true", "reduceRange: false"))
    assert run("rebuild", RELEASE, "--name", "bad") == 1
    assert written(fleet, "bad").predicate["verdict"] == "BAD"
    assert not (fleet / FOLDER / "bad-provenance.json").exists()
    assert "BAD at L1: quantized: pinned sha256:" in capsys.readouterr().out
    shutil.rmtree(fleet / ".muster/store")
    assert run("rebuild", RELEASE, "--name", "unknown") == 2
    assert written(fleet, "unknown").predicate["verdict"] == "UNKNOWN"


def test_rehearsal(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default back to the superseded release; the file is about both artifacts."""
    assert run("rehearsal", RELEASE) == 0
    found = written(fleet, "rehearsal")
    assert found.predicate_type == REHEARSAL
    assert {"backTo": "meter-reader/1.1.0", "returned": True, "where": "simulator"}.items() <= found.predicate.items()
    assert sorted(found.subjects) == sorted([ARTIFACT, release("1.1.0").spec.artifact.digest])
    assert "every device is back on meter-reader/1.1.0" in capsys.readouterr().out


def test_rehearse(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last two production releases, found by themselves; the evidence says when it expires."""
    assert exit_code_of(["rehearse", "meter-reader", "--key", KEY, "--valid-for", "7d"]) == 0
    said = written(fleet, "rehearsal").predicate
    assert {
        "release": "meter-reader/1.2.0",
        "backTo": "meter-reader/1.1.0",
        "where": "simulator",
    }.items() <= said.items()
    lasts = datetime.fromisoformat(said["expiresAt"]) - datetime.fromisoformat(said["rehearsedAt"])
    assert timedelta(days=6, hours=23) < lasts <= timedelta(days=7)
    assert "every device is back" in capsys.readouterr().out
    for arguments, why in (
        (["meter-reader", "--cohort", "moon"], "no cohort moon is declared"),
        (["other"], "has not two releases from production on"),
    ):
        assert exit_code_of(["rehearse", *arguments, "--key", KEY]) == 1
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["measure", "meter-reader/9.9.9"], 2, "cannot read releases/meter-reader/9.9.9.yaml"),
        (["measure", "nonsense"], 2, "is no release file"),
        (["measure", RELEASE, "--name", "../../x"], 2, "no name of an evidence file"),
        (["measure", RELEASE, "--soak", "1h"], 2, "--soak says nothing without --class"),
        (["measure", RELEASE, "--cpu", "Haswell"], 2, "--cpu says nothing without --class"),
        (["measure", RELEASE, "--from", "x"], 2, "--from says nothing without --class"),
        (["measure", RELEASE, "--class", "cam-day", "--cpu", "max", "--soak", "1h"], 2, "different measurements"),
        (["measure", RELEASE, "--soak", "long", "--class", "cam-day"], 2, "not a duration"),
        (["measure", RELEASE, "--class", "cam-night"], 2, "no such device class: cam-night"),
        (["provenance", RELEASE, "--builder", "me"], 2, "no URI"),
        (["rehearsal", "meter-reader/1.0.0"], 2, "supersedes nothing"),
        (["rehearsal", RELEASE, "--back-to", "meter-reader/0.1.0"], 1, "declares no release"),
        (["rehearsal", RELEASE, "--back-to", "meter-reader/1.2.0"], 1, "cannot go back"),
    ],
    ids=[
        "no-release", "no-name", "leads-out", "soak-alone", "cpu-alone", "record-alone", "two-at-once",
        "odd-soak", "no-class", "odd-builder", "nothing-before",
        "back-to-nothing", "back-to-itself",
    ],
)  # fmt: skip
def test_what_cannot_be_made(
    fleet: Path, arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its reason and what would be right; nothing is written."""
    assert code == run(*arguments)
    said = capsys.readouterr().err
    assert why in said
    assert "hint: " in said
    assert not (fleet / "evidence").exists()


def test_a_folder_that_leads_out_is_refused(fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A symbolic link in the repository does not make us write elsewhere."""
    (tmp_path / "outside").mkdir()
    (fleet / "evidence").symlink_to(tmp_path / "outside")
    assert run("rehearsal", RELEASE) == 1
    assert "leads out of the repository" in capsys.readouterr().err
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_key_that_others_can_read_signs_nothing(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does one that is missing."""
    (fleet / KEY).chmod(0o644)
    assert run("rehearsal", RELEASE) == 1
    assert "is open to others" in capsys.readouterr().err
    (fleet / KEY).unlink()
    assert run("rehearsal", RELEASE) == 2
    assert not (fleet / "evidence").exists()


def signed(fleet: Path, name: str, private: bytes, subject: str = ARTIFACT) -> str:
    """A small evidence file; returns its path."""
    path = fleet / FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    predicate = {"release": "a\u202e\u001b[31mb", "measuredAt": "2026-03-01T10:00:00Z"}
    path.write_bytes(sign_evidence({"a": subject}, MEASUREMENT, predicate, private))
    return f"{FOLDER}/{name}.json"


def test_verify_by_key(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Believed: 0. A forgery among them: 1, and which. Unreadable: 2. Nothing reaches the terminal unescaped."""
    good = signed(fleet, "good", (fleet / KEY).read_bytes())
    foreign = signed(fleet, "foreign", new_private_key())
    replayed = signed(fleet, "replayed", (fleet / KEY).read_bytes(), release("1.1.0").spec.artifact.digest)
    (fleet / "lab.pub").write_text(public_half((fleet / KEY).read_bytes()))
    verify = ["evidence", "verify", "--key", "lab.pub"]
    assert exit_code_of([*verify, good]) == 0
    shown = capsys.readouterr().out
    assert f"{good}: believed" in shown
    assert "release: a\\u202e\\x1b[31mb" in shown
    assert exit_code_of([*verify, good, foreign, replayed, "-o", "json"]) == 1
    kinds = [item["problemKind"] for item in json.loads(capsys.readouterr().out)]
    assert kinds == ["none", "foreign", "other-artifact"]
    assert exit_code_of([*verify, "nothing.json"]) == 2
    (fleet / "large.json").write_bytes(b" " * (LARGEST + 1))
    assert exit_code_of([*verify, "large.json"]) == 2
    (fleet / "lab.pub").write_text("no key")
    assert exit_code_of([*verify, good]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_verify_by_the_keys_of_a_commit(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key counts once its declaration is committed, not while it lies in the work tree."""
    path = signed(fleet, "good", (fleet / KEY).read_bytes())
    (fleet / ".gitignore").write_text(".muster/\n")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "a fleet"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command], check=True)
    (fleet / "policies/keys").mkdir(exist_ok=True)
    assert exit_code_of(["keys", "new", "other", "--use", "evidence", "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    (fleet / "policies/keys/other.yaml").write_text(made["declaration"])
    second = signed(fleet, "second", Path(made["private"]).read_bytes())
    assert exit_code_of(["evidence", "verify", path, second]) == 1
    assert capsys.readouterr().out.count("not believed (foreign)") == 2
    for command in (["add", "."], ["commit", "-qm", "trust other"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command], check=True)
    assert exit_code_of(["evidence", "verify", second]) == 0
    assert "signer: other" in capsys.readouterr().out


def test_a_new_key(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Private and never replaced; standard output is the declaration alone, and it loads as one."""
    assert exit_code_of(["keys", "new", "field-lab", "--use", "evidence", "--use", "approvals"]) == 0
    shown = capsys.readouterr()
    declared = SigningKey.model_validate_json(json.dumps({**yaml.safe_load(shown.out)}))
    path = fleet / ".muster/keys/named/field-lab.pem"
    assert (declared.metadata.name, declared.spec.uses) == ("field-lab", ("evidence", "approvals"))
    assert declared.spec.public_key.strip() == public_half(path.read_bytes()).strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in shown.out + shown.err
    assert exit_code_of(["keys", "init"]) == 0
    capsys.readouterr()
    assert exit_code_of(["keys", "show"]) == 0
    assert (
        f"field-lab\tsigns what it is declared for\t0600\t{key_id(declared.spec.public_key)}" in capsys.readouterr().out
    )
    before = path.read_bytes()
    assert exit_code_of(["keys", "new", "field-lab", "--use", "evidence"]) == 1
    assert "a key is not replaced" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("arguments", [["a/b", "--use", "evidence"], ["lab2"], ["lab2", "--use", "everything"]])
def test_a_new_key_that_is_none(fleet: Path, arguments: list[str]) -> None:
    """A name that leads elsewhere, no use, and an unknown one."""
    assert exit_code_of(["keys", "new", *arguments]) == 2
    assert sorted(path.name for path in (fleet / ".muster/keys/named").iterdir()) == ["lab.pem"]
