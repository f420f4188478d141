"""Samples as tasks of Label Studio, and the verbs of who labels: a real server, and the releases of this repository."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from captured import CLASS, MODEL, PURPOSE, device, published, sample, taken, terms
from muster.agent.capture.owner import choose
from muster.agent.capture.sending import Sender
from muster.agent.capture.taking import Sample
from muster.agent.folder import DeviceFolder
from muster.agent.http_server import HttpServer
from muster.cli import exit_code_of
from sites import SECRET, Site

ROOT = Path(__file__).parents[3]
HOSTILE = "a<b>&\"c' \u202e"

# https://labelstud.io/guide/predictions and https://labelstud.io/guide/task_format: what an import must hold.
FORMAT = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "object", "minProperties": 1},
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["result"],
                    "additionalProperties": False,
                    "properties": {
                        "model_version": {"type": "string"},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                        "result": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["from_name", "to_name", "type", "value"],
                                "properties": {
                                    "type": {"const": "choices"},
                                    "value": {
                                        "type": "object",
                                        "required": ["choices"],
                                        "properties": {
                                            "choices": {"type": "array", "items": {"type": "string"}, "maxItems": 1}
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
        "additionalProperties": False,
    },
}


@pytest.fixture
def site(module_site: Site) -> Site:
    """The running server, one purpose declared, two devices enrolled, no samples."""
    module_site.empty()
    module_site.published = published(terms())
    for name in ("dev-1", "dev-2"):
        assert module_site.enrol(name)[0] == 201
    return module_site


def send(site: Site, path: Path, *samples: Sample, name: str = "dev-1") -> None:
    place = device(path / name, terms(), device_id=name)
    choose(DeviceFolder(path / name), PURPOSE, given=True)
    assert taken(place, *samples) == len(samples)
    assert Sender(place, HttpServer(site.url), lambda: f"Bearer {name}:{SECRET}").send().samples == len(samples)


def run(site: Site, *arguments: str) -> int:
    return exit_code_of([*arguments, "--server", site.url, "--state", str(site.state)])


def export(site: Site, out: Path, *options: str) -> int:
    return run(site, "capture", "export", MODEL, "--out", str(out), "--repository", str(ROOT), *options)


def read(out: Path) -> tuple[list[dict[str, Any]], ET.Element]:
    """Tasks and labelling config, held against the public format and against each other."""
    tasks: list[dict[str, Any]] = json.loads((out / "tasks.json").read_text())
    Draft202012Validator(FORMAT).validate(tasks)
    config = ET.fromstring((out / "labelling-config.xml").read_text())
    (choices,) = config.iter("Choices")
    (shown,) = (one for one in config if one.tag in ("Image", "Text"))
    known = {choice.get("value") for choice in choices}
    for task in tasks:
        assert (shown.get("value") or "").removeprefix("$") in task["data"]
        for result in (one for prediction in task["predictions"] for one in prediction["result"]):
            assert (result["from_name"], result["to_name"]) == (choices.get("name"), choices.get("toName"))
            assert result["to_name"] == shown.get("name")
            assert set(result["value"]["choices"]) <= known
    return tasks, config


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def test_samples_are_tasks_with_the_picture_that_the_model_saw(site: Site, tmp_path: Path) -> None:
    """One for each content, with what was answered, what is right, and all that was said of it; no device."""
    bright = sample(7, 0.25, failure_mode="glare", locale="de-DE")
    send(site, tmp_path, bright, sample(7, corrected="1"), sample(9, label=HOSTILE))
    send(site, tmp_path, bright, name="dev-2")
    assert export(site, tmp_path / "out") == 0
    tasks, config = read(tmp_path / "out")
    assert sorted((task["data"]["times"] for task in tasks), reverse=True) == [3, 1]
    task = next(task for task in tasks if task["data"]["times"] == 3)
    assert task["data"].items() >= {"release": "meter-reader/1.0.0", "device_class": CLASS, "corrected": "1"}.items()
    assert [(one["model_version"], one["result"][0]["value"]["choices"]) for one in task["predictions"]] == [
        ("meter-reader/1.0.0", ["7"]),
        ("corrected", ["1"]),
    ]
    scheme, _, encoded = task["data"]["image"].partition(",")
    assert scheme == "data:image/png;base64"
    # The release stretches each frame to its own largest value.
    stretched = np.rint(bright.frame / np.float32(bright.frame.max()) * 255)
    assert np.array_equal(pixels(base64.b64decode(encoded)), stretched)
    values = [choice.get("value") for choice in config.iter("Choice")]
    assert [*"0123456789", HOSTILE] == values
    assert "dev-" not in (tmp_path / "out" / "tasks.json").read_text()


def test_pictures_may_be_files_and_what_does_not_fit_is_named(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only their owner reads them; a sample of a release that git does not know is left out, and the verb exits 1."""
    send(site, tmp_path, sample(7), sample(9, release="meter-reader/9.9.9"))
    assert export(site, tmp_path / "out", "--image-url", "/data/local-files/?d=meter/", "-o", "json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (
        said["tasks"], said["samples"], list(said["leftOut"].values())
    ) == (1, 2, ["it is no picture, and others of the model are"])  # fmt: skip
    ((task,), _) = read(tmp_path / "out")
    (file,) = (tmp_path / "out" / "images").iterdir()
    assert task["data"]["image"] == f"/data/local-files/?d=meter/{file.name}"
    assert pixels(file.read_bytes()).shape == (8, 8)
    for path in (file, tmp_path / "out" / "tasks.json"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_no_picture_is_shown_as_numbers(site: Site, tmp_path: Path) -> None:
    """Of a release that nobody here knows, all that is known are its elements."""
    send(site, tmp_path, sample(9, release="meter-reader/9.9.9"))
    assert export(site, tmp_path / "out", "--purpose", PURPOSE) == 0
    ((task,), _) = read(tmp_path / "out")
    assert sample(9).frame.tolist() == json.loads(task["data"]["text"])
    assert export(site, tmp_path / "none", "--purpose", "other") == 0
    assert json.loads((tmp_path / "none" / "tasks.json").read_text()) == []


def test_people_list_and_erase(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By device or by purpose; everything at once is refused. What a device wrote does not steer a terminal."""
    send(site, tmp_path, sample(7, failure_mode="glare"))
    send(site, tmp_path, sample(8, label="x\u202e"), name="dev-2")
    assert run(site, "get", "captures", "--model", MODEL) == 0
    shown = capsys.readouterr().out
    assert "better-reading\tmeter-reader/1.0.0\tcam-day\t-\tlow-confidence\tglare\t7" in shown
    assert "\u202e" not in shown
    assert "dev-" not in shown
    by = ("--by", "Ada <ada@fleet.example>")
    assert run(site, "capture", "erase", *by) == 1
    assert run(site, "capture", "erase", "--device", "dev-2", "--purpose", "other", *by) == 0
    assert capsys.readouterr().out == "erased 0 samples\n"
    for chosen in (("--device", "dev-2"), ("--purpose", PURPOSE)):
        assert run(site, "capture", "erase", *chosen, *by) == 0
        assert capsys.readouterr().out == "erased 1 samples\n"
    assert run(site, "get", "captures") == 0
    assert capsys.readouterr().out == "no samples\n"
