"""Documents about a release: the bill of materials fits the public schema, and every document says what is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from ruamel.yaml import YAML

from evidences import evidence_files
from meter_example import LOCK, changed, release
from muster.attest.bill_of_materials import bill_of_materials
from muster.attest.evidence import read_evidence
from muster.attest.figures import Figure, soak_hours
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_card import model_card
from muster.attest.release_manifest import Known, release_manifest
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.evidence import Result
from muster.kinds.signing_key import SigningKey

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
KEY = new_private_key()


@pytest.fixture(scope="module")
def known() -> Known:
    """Release 1.2.0 with believed evidence, and one file that nobody believes."""
    files = evidence_files(release("1.2.0"), release("1.1.0"), KEY, NOW)
    odd = next(iter(files)).rpartition("/")[0] + "/odd.json"
    files[odd] = b"{}"
    declared = SigningKey.model_validate(
        {"metadata": {"name": "lab"}, "spec": {"publicKey": public_half(KEY), "uses": ["evidence"]}}
    )
    found = [read_evidence(path, data, [declared]) for path, data in files.items()]
    return Known(release("1.2.0"), "a" * 40, found, {path: digest_of(data) for path, data in files.items()})


def test_the_bill_of_materials_fits_the_schema(known: Known) -> None:
    """The published CycloneDX 1.6 schema takes it; a bill that is none is refused by the same validator."""
    bill = bill_of_materials(known, LOCK, NOW)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill)) is None
    assert validator.validate_str(json.dumps({**bill, "components": [{"type": "model"}]})) is not None
    assert canonical_json(bill) == canonical_json(bill_of_materials(known, LOCK, NOW))


def test_the_bill_of_materials_names_everything(known: Known) -> None:
    """Model, source, every data set, table, lock, and the packages that the lock pins; figures with their intervals."""
    bill, spec = bill_of_materials(known, LOCK, NOW), known.release.spec
    model = bill["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": hex_of(spec.artifact.digest)}]
    hashes = {part["hashes"][0]["content"] for part in bill["components"] if "hashes" in part}
    pins = (spec.source.digest, spec.snapshots.calibration, spec.snapshots.evaluation, spec.source.lineage.dataset)
    assert {hex_of(digest) for digest in (*pins, spec.calibration_table, spec.builder.digest)} <= hashes
    assert "pkg:pypi/onnxruntime@1.31.1" in {part.get("purl") for part in bill["components"]}
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    latency = next(one for one in metrics if one["type"] == "p95-latency (µs)" and one["slice"] == "cam-day")
    assert latency["value"] == "5168.7"
    assert latency["confidenceInterval"] == {"lowerBound": "5044.1", "upperBound": "5310.2"}
    limits = model["modelCard"]["considerations"]["technicalLimitations"]
    assert [limit.rpartition("/")[2] for limit in limits] == ["odd.json"]


def test_the_model_card(known: Known) -> None:
    """Its front matter is YAML with a `model-index`; its text names figures, evidence, and what is missing."""
    card = model_card(known)
    _, front, text = card.split("---\n", 2)
    metadata = YAML(typ="safe").load(front)
    result = metadata["model-index"][0]["results"][0]
    assert metadata["model-index"][0]["name"] == "meter-reader/1.2.0"
    assert result["dataset"]["revision"] == known.release.spec.snapshots.evaluation
    assert result["metrics"][0] == {"type": "accuracy", "value": 0.996428571, "name": "accuracy"}
    assert "| p95-latency | cam-day | - | 5168.7 µs | 5044.1 to 5310.2 | 1000 |" in text
    assert known.release.spec.source.lineage.dataset in text
    assert "Not believed: `evidence/" in text


def test_a_hostile_description_stays_text(known: Known) -> None:
    """A description and an owner cannot make headings, links or rows in the card."""
    bad = "a\n# Certified\n[x](http://127.0.0.1) | b | `c` <b>"
    source = known.release.spec.source
    lineage = source.lineage.model_copy(update={"owner": bad, "run_id": "r` | x |"})
    odd = changed(known.release, source=source.model_copy(update={"lineage": lineage}))
    odd = odd.model_copy(update={"metadata": odd.metadata.model_copy(update={"description": bad})})
    card = model_card(Known(odd, known.commit, (), {}))
    assert "\n# Certified" not in card
    assert "[x](" not in card
    assert "<b>" not in card.replace("\\<b\\>", "")
    rows = [line for line in card.splitlines() if line.startswith("| training")]
    assert all(line.replace("\\|", "").count("|") == 4 for line in rows)


def test_the_manifest(known: Known) -> None:
    """Digests, runtimes, devices, figures per class, who signs, and every file with address and digest."""
    manifest, spec = release_manifest(known), known.release.spec
    assert manifest["modelDigest"] == spec.stages.quantized
    assert manifest["configVersion"] == spec.config_version
    assert [one["deviceClass"] for one in manifest["runtimes"]] == ["cam-day", "cam-edge", "cam-lowlight"]
    assert [one["deviceClass"] for one in manifest["devicesTested"]] == ["cam-day", "cam-edge", "cam-lowlight"]
    assert {one["metric"] for one in manifest["benchmarks"]["cam-day"]} >= {"p50-latency", "p95-latency", "peak-ram"}
    assert {item["address"]: item["digest"] for item in manifest["evidence"]} == dict(known.digests)
    assert [item["address"].rpartition("/")[2] for item in manifest["evidence"] if not item["believed"]] == ["odd.json"]
    assert [(one["key"], len(one["files"])) for one in manifest["signing"]] == [("lab", len(known.digests) - 1)]
    assert [(one["level"], one["verdict"], one["signer"]) for one in manifest["rebuilds"]] == [("L2", "GOOD", "lab")]
    assert canonical_json(manifest) == canonical_json(release_manifest(known))


def test_soak_hours() -> None:
    """Microseconds become hours, as a decimal."""
    soaked = Figure(Result(metric="soak", value=Decimal(86_400_000_000), device_class="cam-day"), "p", "")
    assert soak_hours(soaked) == "24"
    assert soak_hours(Figure(Result(metric="soak", value=Decimal(5_400_000_000)), "p", "")) == "1.5"
