"""Signing keyless: tokens of a file and of a job, servers that refuse, and Sigstore's own program on the other side."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from keyless_places import ARTIFACT, OTHER, PREDICATE, SUBJECTS, WORKFLOW, Place, read, trusting
from muster.attest.evidence import evidence_path, sign_evidence, statement_payload
from muster.attest.keyless_signing import KeylessSigner
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.evidence import MEASUREMENT, PROVENANCE
from muster.simulate.sigstore.service import RekorVersion, Sigstore, running


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    """One instance whose keys stay."""
    with running() as instance:
        yield instance


@pytest.fixture
def place(tmp_path: Path, sigstore: Sigstore) -> Place:
    """A folder beside the instance."""
    return Place(tmp_path, sigstore)


def test_signing_says_what_is_missing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, a token that others can read, an expired one, no config, an instance that is gone."""
    signer = place.signer()
    token, config = place.folder / "token", place.folder / "config.json"
    for name in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS", "CI"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unusable, match="no identity token"):
        KeylessSigner(None, config).check()
    with pytest.raises(Unusable, match="missing"):
        KeylessSigner(place.folder / "gone", config).check()
    with pytest.raises(Unusable, match=r"gone\.json"):
        KeylessSigner(token, place.folder / "gone.json").check()
    token.chmod(0o644)
    with pytest.raises(Refused, match="open to others"):
        signer.check()
    token.chmod(0o600)
    with running() as gone:
        config.write_text(json.dumps(gone.trust_config(1)))
    with pytest.raises(TryAgain, match="cannot be reached"):
        signer(statement_payload(SUBJECTS, MEASUREMENT, PREDICATE))
    token.write_text(place.instance.token(WORKFLOW, lives=timedelta(hours=-1)))
    with pytest.raises(Unusable, match="identity token"):
        signer.check()


def test_a_job_signs_by_its_ambient_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """In GitHub Actions nothing but the permission is given; without the permission the reason names it."""
    config = place.folder / "config.json"
    config.write_text(json.dumps(place.instance.trust_config(2)))
    for name, value in place.instance.job_environment().items():
        monkeypatch.setenv(name, value)
    data = sign_evidence(SUBJECTS, MEASUREMENT, PREDICATE, KeylessSigner(None, config))
    assert read(data, trusting(place.instance, identity=place.instance.job)).signer == "identities/ci"
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    with pytest.raises(Unusable) as missing:
        KeylessSigner(None, config).check()
    assert "id-token: write" in (missing.value.hint or "")


def test_an_authority_that_refuses_the_token_is_a_refusal(place: Place) -> None:
    """A token of another issuer's key: the reason is the authority's."""
    with running() as other:
        foreign = other.token(WORKFLOW)
    signer = place.signer()
    (place.folder / "token").write_text(foreign)
    with pytest.raises(Refused, match="Sigstore did not sign"):
        signer(statement_payload(SUBJECTS, MEASUREMENT, PREDICATE))


def sigstore_program(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Sigstore's own command line, on the instance's config."""
    command = [sys.executable, "-m", "sigstore", "--trust-config", str(place.folder / "config.json"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("rekor", [1, 2])
def test_the_sigstore_program_accepts_our_bundle(place: Place, rekor: RekorVersion) -> None:
    """Its own command line, offline, with a digest that the statement is about; and not with another."""
    bundle = place.folder / "evidence.sigstore.json"
    bundle.write_bytes(place.evidence(rekor))
    verify = ["verify", "identity", "--offline", "--bundle", str(bundle), "--cert-identity", WORKFLOW]
    verify += ["--cert-oidc-issuer", place.instance.issuer]
    done = sigstore_program(place, *verify, ARTIFACT)
    assert done.returncode == 0, done.stderr
    if rekor == 2:
        assert sigstore_program(place, *verify, f"sha256:{hex_of(OTHER)}").returncode != 0


def test_we_accept_what_the_sigstore_program_attests(place: Place) -> None:
    """Its own command line attests to a file that is the artifact; a gate reads it as provenance."""
    signer = place.signer(2)
    artifact, predicate = place.folder / "artifact.tar", place.folder / "predicate.json"
    artifact.write_bytes(b"artifact")
    run = {"builder": {"id": "https://ci.example"}, "metadata": {"finishedOn": "2026-03-01T10:00:00Z"}}
    build = {"buildType": "https://ci.example/build/v1", "externalParameters": {}}
    predicate.write_text(json.dumps({"buildDefinition": build, "runDetails": run}))
    bundle = place.folder / "attested.json"
    assert signer.token_file is not None
    token = signer.token_file.read_text().strip()
    arguments = ["--predicate", str(predicate), "--predicate-type", PROVENANCE, "--bundle", str(bundle)]
    done = sigstore_program(place, "attest", *arguments, "--identity-token", token, str(artifact))
    assert done.returncode == 0, done.stderr
    found = read(bundle.read_bytes(), trusting(place.instance), evidence_path(ARTIFACT, "provenance"))
    assert (found.problem, found.signer, found.predicate_type) == (None, "identities/ci", PROVENANCE)
    assert found.made_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


class Repeating(BaseHTTPRequestHandler):
    """A server that says back what it was sent, as a debugging proxy might."""

    def do_POST(self) -> None:
        said = json.dumps({"code": 3, "message": f"cannot take {self.headers.get('authorization')}"}).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


def test_a_token_is_told_to_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a refusal by a server that repeats it, not in one by a job's runner, and not in a log of any level."""
    caplog.set_level(logging.DEBUG)
    place.evidence(2)
    signer = place.signer(2)
    assert signer.token_file is not None
    assert signer.trust_config is not None
    token, job = signer.token_file.read_text().strip(), place.instance.token("job")
    config = json.loads(signer.trust_config.read_text())
    with ThreadingHTTPServer(("127.0.0.1", 0), Repeating) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        config["signingConfig"]["caUrls"][0]["url"] = url
        signer.trust_config.write_text(json.dumps(config))
        environment = {**place.instance.job_environment(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": job}
        for name, value in {**environment, "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/?"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Refused, match=r"cannot take Bearer \(a token\)") as refused:
            signer(statement_payload(SUBJECTS, MEASUREMENT, PREDICATE))
        with pytest.raises(Unusable, match=r"cannot take bearer \(a token\)") as unusable:
            KeylessSigner(None, signer.trust_config).check()
        server.shutdown()
        thread.join()
    told = [refused.value.message, unusable.value.message, repr(signer), caplog.text]
    assert caplog.records
    for secret in (token, token.split(".")[2], job, job.split(".")[1]):
        assert not any(secret in text for text in told)
