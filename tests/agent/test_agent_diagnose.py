"""What `muster agent diagnose` finds of a device, and that its bundle gives nothing away."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agent_simulator import BRIGHT, CLASS_NAME, MODEL_NAME, WINDOW_SECONDS, Bench, build, hash_of
from click.testing import CliRunner
from simulated_runtime import SimulatedRuntime, simulated

from muster.agent.active import open_model
from muster.agent.diagnose import Means, diagnose
from muster.agent.diagnosis import Diagnosis
from muster.agent.diagnosis_bundle import STRUCK, members_of
from muster.agent.loaded import load_slot
from muster.attest.keys import new_private_key
from muster.attest.package.archive import pack, unpack
from muster.cli.agent import agent

CPU = ("CPUExecutionProvider",)
OLD, NEW = simulated("1.0.0", 8.0), simulated("1.1.0", 9.0)
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A device on which OLD is confirmed."""
    bench = Bench(tmp_path, runtime=SimulatedRuntime(), frames=BRIGHT, frames_per_tick=25)
    bench.start()
    bench.confirm(OLD)
    return bench


def _means(bench: Bench) -> Means:
    return Means(
        bench.server,
        CPU,
        try_golden=lambda place, slot: load_slot(place, slot, bench.runtime) and None,
        disk=lambda _folder: (2**40, bench.free_bytes),
        thermal_state=lambda: "nominal",
    )


def _diagnose(bench: Bench, **changes: object) -> Diagnosis:
    with bench.folder.held():
        return diagnose(bench.folder, replace(_means(bench), **changes), bench.now.wall)


def _codes(found: Diagnosis) -> list[str | None]:
    return [finding.code for finding in found.findings]


def test_a_device_that_is_well_says_what_it_is_and_what_it_runs(bench: Bench) -> None:
    """Versions, digests, signature, disk, memory, providers, golden run, desired and active: all there, none wrong."""
    found = _diagnose(bench)
    assert found.findings == ()
    assert (found.device_id, found.device_class, found.label_keys) == ("device-1", CLASS_NAME, ("site",))
    assert {"muster", "python", "onnxruntime", "tuf", "os", "kernel", "architecture"} <= set(found.versions)
    assert (found.agent_runs, found.journal, found.providers) == (True, "whole", CPU)
    assert (found.disk.total, found.disk.free, found.thermal_state) == (2**40, 2**40, "nominal")
    assert found.disk.agent > len(OLD.data)
    assert found.memory.total > (found.memory.available or 0) > 0
    assert {"root", "targets", "snapshot", "timestamp"} == {role.role for role in found.metadata}
    (model,) = found.models
    assert (model.running, model.state, model.golden_run.result) == (OLD.release, "confirmed", "held")
    (slot,) = model.slots
    assert (slot.role, slot.artifact, slot.model_hash) == ("confirmed", OLD.artifact, hash_of(OLD))
    assert (slot.damaged, slot.signature.result) == ((), "held")
    assert model.desired is not None
    assert (model.desired.generation, model.desired.cohort, model.desired.problem) == (1, "all", None)
    (offer,) = model.desired.offers
    assert (offer.release, offer.in_share, offer.kept, offer.halted) == (OLD.release, True, True, False)


def test_looking_changes_nothing(bench: Bench) -> None:
    """Not a byte below the device's folder, also when the server has something new."""
    bench.repository.publish(2, [NEW.entry(2)], artifacts=(NEW,))

    def everything() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in bench.folder.path.rglob("*") if path.is_file()}

    bench.folder.lock.touch()
    before = everything()
    found = _diagnose(bench)
    assert before == everything()
    assert found.models[0].desired is not None
    assert found.models[0].desired.step == f"fetches {NEW.release}, and tries it"


def test_what_is_downloaded_is_told_apart_from_what_is_active(bench: Bench) -> None:
    """A trial, the confirmed slot under it, and what is on its way are three things."""
    bench.repository.publish(2, [NEW.entry(2)], artifacts=(NEW,))
    bench.tick()
    (model,) = _diagnose(bench).models
    assert (model.running, model.state) == (NEW.release, "trial")
    assert [("trial", NEW.release), ("confirmed", OLD.release)] == [(slot.role, slot.release) for slot in model.slots]
    last = simulated("1.2.0", 7.0)
    bench.tick(WINDOW_SECONDS)
    bench.repository.publish(3, [last.entry(3)], artifacts=(last,))
    bench.server.away_for = "/artifacts/"
    bench.tick()
    (model,) = _diagnose(bench).models
    assert (model.running, model.state, model.staging, model.staging_step) == (
        NEW.release,
        "confirmed",
        last.release,
        "offered",
    )


def _flip(bench: Bench) -> None:
    path = bench.agent.device.slots.place(OLD.artifact) / "model.onnx"
    path.write_bytes(path.read_bytes() + b"!")


def _lose_slot(bench: Bench) -> None:
    bench.agent.device.slots.keep(frozenset(), frozenset())


def _sign_with_another_key(bench: Bench) -> None:
    bench.repository.signing_key = new_private_key()
    bench.repository.publish(2, [OLD.entry(1)])


def _damage_journal(bench: Bench) -> None:
    bench.folder.journal.write_bytes(b"{")


def _fail_before(bench: Bench) -> None:
    bad = replace(NEW, unsigned=True)
    bench.repository.publish(2, [bad.entry(2)], artifacts=(bad,))
    bench.tick()


def _offer_to_another_provider(bench: Bench) -> None:
    other = replace(NEW, provider="CUDAExecutionProvider")
    bench.repository.publish(2, [other.entry(2)], artifacts=(other,))


def _offer_without_room(bench: Bench) -> None:
    bench.repository.publish(2, [NEW.entry(2)], artifacts=(NEW,))
    bench.free_bytes = 2**20


def _away(bench: Bench) -> None:
    bench.server.away = True


def _answer_otherwise(bench: Bench) -> None:
    bench.runtime.before_run = lambda: None
    bench.runtime = _Drifted()


class _Drifted(SimulatedRuntime):
    def load(self, model, provider, config):
        session = super().load(model, provider, config)
        session.sharpness /= 2
        return session


@pytest.mark.parametrize(
    ("cause", "codes"),
    [
        (_flip, {"slot_damaged", "bad_signature"}),
        (_lose_slot, {"slot_damaged"}),
        (_sign_with_another_key, {"bad_signature"}),
        (_damage_journal, {"journal_restored"}),
        (_fail_before, {"quarantined"}),
        (_offer_to_another_provider, {"provider_missing"}),
        (_offer_without_room, {"disk_full"}),
        (_away, {"server_away"}),
        (_answer_otherwise, {"golden_mismatch"}),
    ],
)
def test_what_is_wrong_is_found_under_its_code(bench: Bench, cause, codes: set[str]) -> None:
    """Each cause that playbooks name, under the code that playbooks use."""
    cause(bench)
    assert codes <= set(_codes(_diagnose(bench)))


def test_old_metadata_and_heat_and_an_agent_that_is_gone_are_found(bench: Bench) -> None:
    """Years later, off-line and hot."""
    late = bench.now.wall.replace(year=bench.now.wall.year + 3)
    found = diagnose(bench.folder, replace(_means(bench), server=None, thermal_state=lambda: "critical"), late)
    assert {"agent", "heat", "tuf/root", "tuf/timestamp"} <= {finding.where for finding in found.findings}
    assert found.server_answers.result == "skipped"
    assert found.models[0].slots[0].signature.result == "skipped"


def test_the_session_of_the_application_is_shown(bench: Bench) -> None:
    """By the digest that it loaded."""
    with open_model(bench.folder.path, MODEL_NAME, SimulatedRuntime()):
        (model,) = _diagnose(bench).models
    assert model.session is not None
    assert model.session.loaded is not None
    assert model.session.loaded.model_hash == hash_of(OLD)


SECRETS = {
    "secret": "planted-device-secret-0123456789",
    "next": "planted-next-secret-0123456789",
    "user": "planted-user-of-the-url",
    "password": "planted-password-of-the-url",
    "path": "/planted-path-token",
    "label": "planted-label-value",
    "set label": "planted-set-label-value",
    "content": "planted-content-of-the-device",
}


def _plant(bench: Bench) -> None:
    folder = bench.folder
    folder.secret.write_text(SECRETS["secret"])
    folder.next_secret.write_text(SECRETS["next"])
    # A secret that is open to others is still one.
    folder.next_secret.chmod(0o644)
    identity = json.loads(folder.identity.read_text())
    url = f"http://{SECRETS['user']}:{SECRETS['password']}@127.0.0.1:1{SECRETS['path']}"
    identity |= {"server": url, "labels": {"site": SECRETS["label"]}}
    folder.identity.write_text(json.dumps(identity))
    folder.set_labels.write_text(json.dumps({"owner": SECRETS["set label"]}))
    for path in (
        folder.frames,
        folder.application,
        folder.predictions,
        folder.staging / "x",
        folder.tuf / "own.json",
        folder.path / "capture" / "x",
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(SECRETS["content"])


def test_the_bundle_holds_no_secret_and_nothing_of_the_devices_content(bench: Bench) -> None:
    """Planted in every file of the folder that may hold one, in the URL, and in a message: in none of its members."""
    _plant(bench)

    def tell(_place: Path, _slot: object) -> None:
        from muster.agent.setbacks import StepFailed

        raise StepFailed("load_failed", f"refused by {SECRETS['password']} with {SECRETS['secret']}")

    found = _diagnose(bench, try_golden=tell)
    members = members_of(bench.folder, found)
    whole = b"\n".join([*members.values(), *(name.encode() for name in members)])
    for name, secret in SECRETS.items():
        assert secret.encode() not in whole, name
    assert b"refused by " + STRUCK in members["diagnosis.json"]
    assert b"http://127.0.0.1:1" in members["diagnosis.json"]
    assert {"diagnosis.json", "tuf/root.json", "tuf/targets.json"} < set(members)


def test_the_bundle_is_the_same_for_the_same_diagnosis(bench: Bench, tmp_path: Path) -> None:
    """One archive for one finding; any tar program reads it; it says what the verb says."""
    found = _diagnose(bench)
    packed = pack(members_of(bench.folder, found))
    assert packed == pack(members_of(bench.folder, Diagnosis.model_validate_json(found.model_dump_json())))
    path = tmp_path / "bundle.tar"
    path.write_bytes(packed)
    with tarfile.open(path) as archive:
        assert sorted(unpack(packed)) == archive.getnames()
    told = json.loads(unpack(packed)["diagnosis.json"])
    assert told.pop("findings") == []
    assert Diagnosis.model_validate_json(json.dumps(told)) == found


def test_the_verb_tries_the_golden_run_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The real runtime, off-line: exit 1 because no agent runs, and the bundle is for its owner's eyes."""
    bench = Bench(tmp_path)
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    bundle = tmp_path / "bundle.tar"
    arguments = ["diagnose", "--folder", str(bench.folder.path), "--offline", "--bundle", str(bundle)]
    done = CliRunner().invoke(agent, [*arguments, "-o", "json"], catch_exceptions=False, standalone_mode=False)
    told = json.loads(done.output)
    assert done.return_value == 1
    assert [finding["what"] for finding in told["findings"]] == ["no agent runs on this folder"]
    assert told["models"][0]["goldenRun"]["result"] == "held"
    assert bundle.stat().st_mode & 0o777 == 0o600
    done = CliRunner().invoke(agent, arguments[:-2], catch_exceptions=False, standalone_mode=False)
    for what in (built.release, "golden run\tholds", "thermal state", "metadata timestamp", "no agent runs"):
        assert what in done.output
