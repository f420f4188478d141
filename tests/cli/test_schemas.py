"""schemas/: in step with the kinds, and what every YAML file of this repository points at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from muster.cli import exit_code_of
from muster.kinds.fleet import KINDS
from muster.review.reports.as_data import schema_text
from muster.serve.application import OPENAPI_FILE, openapi_text
from muster.source.layout import FOLDERS, kind_at
from muster.source.schema import DELTA_INDEX_FILE, delta_index_text, schema_file, schema_files, schema_of
from scratch_fleet import fleet_files, release_yaml

ROOT = Path(__file__).parents[2]
DECLARED = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.yaml"))


def test_schemas_are_in_step():
    """What is committed is what the kinds and the report say now (`muster schemas` writes it)."""
    kept = {path.name: path.read_text() for path in (ROOT / "schemas").glob("*.json")}
    others = {"judgement.json": schema_text(), OPENAPI_FILE: openapi_text(), DELTA_INDEX_FILE: delta_index_text()}
    assert kept == schema_files() | others


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_schemas_are_schemas(kind):
    """Each is valid JSON Schema 2020-12, has an id and a title, and follows its references."""
    schema = schema_of(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].startswith("urn:muster:v1:")
    assert schema["title"] == f"Muster {kind.__name__}"


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_this_repository_fit(path):
    """Each file's first line names the schema of its kind, which is there, and the file fits it."""
    text = path.read_text()
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = (path.parent / named).resolve()
    kind = kind_at(path.relative_to(ROOT).as_posix())
    assert schema == ROOT / "schemas" / schema_file(kind.__name__)
    Draft202012Validator(json.loads(schema.read_text())).validate(yaml.safe_load(text))


@pytest.mark.parametrize("path", sorted(fleet_files()))
def test_scratch_fleet_fits(path):
    """What loads fits its schema."""
    Draft202012Validator(schema_of(kind_at(path))).validate(yaml.safe_load(fleet_files()[path]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: Release\n", ""),
        ("tier: research", "tier: other"),
        ('canary: "100%"', "canary: 5"),
        ('canary: "100%"', 'Can ary: "5%"'),
        ("seeds: [1, 2]", "seeds: []"),
        ("batch: 32", "batch: 0"),
        ("  artifact:\n", "  artefact: 1\n  artifact:\n"),
    ],
    ids=["no kind", "unknown tier", "bare number", "bad key", "empty list", "out of bounds", "unknown field"],
)
def test_editors_see_mistakes(old, new):
    """A schema refuses what loading refuses."""
    text = release_yaml().replace(old, new, 1)
    assert text != release_yaml()
    with pytest.raises(ValidationError):
        Draft202012Validator(schema_of(KINDS["Release"])).validate(yaml.safe_load(text))


def test_the_verb(tmp_path, capsys):
    """It writes what is missing or stale, says so, and `--check` tells without writing."""
    out = tmp_path / "schemas"
    assert exit_code_of(["schemas", "--out", str(out), "--check"]) == 1
    assert not out.exists()
    assert exit_code_of(["schemas", "--out", str(out)]) == 0
    assert exit_code_of(["schemas", "--out", str(out), "--check"]) == 0
    (out / "release.json").write_text("{}")
    capsys.readouterr()
    assert exit_code_of(["schemas", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out / 'release.json'}\n"
    (tmp_path / "file").touch()
    assert exit_code_of(["schemas", "--out", str(tmp_path / "file" / "below")]) == 2
    assert "cannot write" in capsys.readouterr().err
