"""The published vectors: what this program says of them, and what a reader in C does that shares no code with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from protocol_vectors import FILES, VECTORS, pin, text_of
from pydantic import ValidationError

from muster.artifacts.bundle import read_bundle
from muster.kinds.canonical import canonical_json
from muster.kinds.desired import DesiredDocument
from muster.kinds.telemetry import Report
from sites import SECRET, Site

HERE = Path(__file__).resolve().parent


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_those_that_this_program_makes(name: str) -> None:
    """Whoever changes an answer changes the protocol, and sees it here."""
    assert text_of(FILES[name]()) == (VECTORS / name).read_text(), "run tests/protocol/protocol_vectors.py"


def test_documents_are_followed_or_not() -> None:
    """As the agent reads them, with one field changed at a time; a followed one is written again as it was."""
    found = vectors("desired.json")
    for one in found["valid"]:
        read = DesiredDocument.model_validate_json(json.dumps(one["document"]))
        assert one["document"] == json.loads(read.model_dump_json()) | _left_out(one["document"])
    whole = found["valid"][-1]["document"]
    for one in found["invalid"]:
        with pytest.raises(ValidationError):
            DesiredDocument.model_validate_json(json.dumps(whole | one["change"]))


def _left_out(document: dict[str, Any]) -> dict[str, Any]:
    """`known` names no runtime version: written out, it is null."""
    return {"drift": document["drift"]} if "drift" in document else {}


def test_reports_are_taken_or_not(tmp_path: Path) -> None:
    """By the server, over HTTP; and an agent that makes such a report sends what stands there."""
    found = vectors("report.json")
    site = Site(tmp_path / "state")
    site.start()
    try:
        site.enrol()
        for one in found["valid"]:
            assert site.report(one["report"])[0] == 200, one["name"]
            sent = json.loads(Report(**one["report"]).model_dump_json())
            assert sent == sent | one["report"]
        whole = found["valid"][-1]["report"]
        for one in found["invalid"]:
            assert site.report(whole | one["change"], token=f"dev-1:{SECRET}")[0] == 422, one["name"]
    finally:
        site.stop()


def test_canonical_json_is_that_of_the_rfc() -> None:
    """Another implementation writes the same bytes, and their digest is the one that stands there."""
    for one in vectors("canonical.json")["vectors"]:
        data = one["canonical"].encode()
        assert data == canonical_json(one["value"]) == rfc8785.dumps(one["value"])
        assert one["sha256"] == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_bundle_is_what_its_parts_make() -> None:
    """Header, content and padding of each file, and two empty blocks."""
    found = vectors("bundle.json")
    parts = []
    for file in found["files"]:
        content = file["content"].encode()
        parts += [bytes.fromhex(file["header"]), content, bytes(-len(content) % 512)]
    data = b"".join([*parts, bytes(1024)])
    assert (found["length"], found["sha256"]) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert {file["name"]: file["content"].encode() for file in found["files"]} == read_bundle(data)


def _lines(case: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    """A case as the reader in C takes it."""
    document, state = case["document"], case["state"]
    yield "device", case["deviceId"]
    yield from (("label", *pair) for pair in case["labels"].items())
    for cohort in document["cohorts"]:
        yield "cohort", cohort["name"]
        yield from (("select", *pair) for pair in cohort["selector"]["matchLabels"].items())
    for entry in document["entries"]:
        yield "entry", entry["release"], entry["artifact"]["digest"], entry["since"], entry["salt"]
        yield from (("ppm", *pair) for pair in entry["ppm"].items())
    yield from (("halted", halt["artifact"]) for halt in document["halted"])
    for version, generation in state.get("quarantine", {}).items():
        yield "quarantine", pin(f"artifact {version}"), generation
    for slot in ("confirmed", "previous", "trial"):
        if slot in state:
            yield slot, f"{document['model']}/{state[slot]}", pin(f"artifact {state[slot]}")
    yield ("decide",)


def _only_bucket(vector: dict[str, Any]) -> dict[str, Any]:
    """A case in which nothing is asked but a bucket."""
    entry = {"release": "m/1.0.0", "artifact": {"digest": pin("")}, "since": 1, "salt": vector["salt"], "ppm": {}}
    document = {"model": "m", "cohorts": [], "entries": [entry], "halted": []}
    return {"deviceId": vector["deviceId"], "labels": {}, "state": {}, "document": document}


def test_a_reader_in_c_decides_the_same(tmp_path: Path) -> None:
    """It was written from docs/protocol.md; buckets and steps of every vector are those that stand there."""
    if shutil.which("gcc") is None or not Path("/usr/include/openssl/sha.h").exists():
        pytest.skip("needs gcc and the headers of OpenSSL (Debian: gcc, libssl-dev)")
    program = tmp_path / "decide"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation"]
    subprocess.run(["gcc", *flags, str(HERE / "decide.c"), "-lcrypto", "-o", str(program)], check=True)
    cases = vectors("decision.json")["vectors"]
    buckets = vectors("bucket.json")["vectors"]
    plain = [_only_bucket(one) for one in buckets]
    text = "".join("\t".join(map(str, line)) + "\n" for case in [*plain, *cases] for line in _lines(case))
    done = subprocess.run([str(program)], input=text, capture_output=True, text=True, check=True)
    answers = done.stdout.splitlines()
    assert [f"{one['bucket']} keep" for one in buckets] == answers[: len(buckets)]
    for case, answer in zip(cases, answers[len(buckets) :], strict=True):
        expected = case["expected"]
        step = expected["step"] if expected["step"] == "keep" else f"{expected['step']} {expected['to']}"
        salts = [str(case["buckets"][entry["salt"]]) for entry in case["document"]["entries"]]
        assert " ".join([*salts, step]) == answer, case["name"]
