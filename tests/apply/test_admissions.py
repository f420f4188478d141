"""The controller says once, signed, that it built an artifact from its pins; its ledger knows the digest."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

from controllers import EVERYONE, START, Scene
from fleets import make_release
from muster.apply.admissions import Admissions, file_name
from muster.apply.ledger import events
from muster.attest.dsse import open_bundle
from muster.attest.evidence import read_statement
from muster.attest.keys import key_id, new_private_key, public_half
from muster.attest.statements.admission import REBUILT, VERIFIER
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.evidence import ADMISSION
from muster.source.load import Loader


def test_a_release_that_was_prepared_is_admitted(tmp_path: Path) -> None:
    """When a build has ended well: a statement by the key that signs artifacts, whose digest is in the ledger."""
    scene = Scene.set(tmp_path)
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    release = Loader().work_tree(scene.repository).fleet_or_refuse("the fleet").releases[0]
    controller._builds.start(release.pins, lambda: None)
    controller._builds.stop()
    controller.tick(scene.now)
    key = next((scene.state / "admissions").iterdir())
    data = (key / file_name(release)).read_bytes()
    pem = next(iter(controller.publisher.signing_keys()), controller._signer)
    payload, signer = open_bundle(data, {key_id(pem): pem}, "")
    said = read_statement(payload)
    assert hex_of(signer) == key.name
    assert said.predicate_type == ADMISSION
    assert said.subjects == (release.spec.artifact.digest,)
    assert said.predicate["verifier"] == {"id": VERIFIER}
    assert said.predicate["properties"] == [REBUILT]
    with controller.engine.connect() as connection:
        told = [event.body for event in events(connection) if event.event == "prepared"]
    assert [body["admission"] for body in told] == [digest_of(data)]


def test_it_is_said_once(tmp_path: Path) -> None:
    """Prepared again later, the first word stays; another key has a word of its own."""
    key, release = new_private_key(), make_release("1.0.0", EVERYONE)
    first = Admissions(tmp_path, key).admit(release, START)
    assert Admissions(tmp_path, key).admit(release, START + timedelta(days=1)) == first
    assert Admissions(tmp_path, new_private_key()).admit(release, START) != first
    path = tmp_path / hex_of(key_id(public_half(key))) / file_name(release)
    said = json.loads(base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"]))
    assert said["predicate"]["timeCreated"] == "2026-01-01T00:00:00Z"
