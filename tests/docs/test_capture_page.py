"""docs/capture.md: its declaration passes, its programs run, its commands say what it shows; against a real server."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from test_documents import commands, pattern

from captured import device, published
from fleets import make_class
from muster.agent.capture.conditions import read_settings
from muster.agent.capture.queue import waiting
from muster.agent.capture.sending import MOST_SECONDS, Sender
from muster.agent.http_server import HttpServer
from muster.cli import exit_code_of
from muster.kinds.capture import LARGEST_CHUNK, LARGEST_RECORD, LARGEST_SAMPLE
from muster.kinds.device_class import DeviceClassSpec
from muster.serve.capture.store import Quotas
from sites import SECRET, Site

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "capture.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "state")
    site.start()
    assert site.enrol("cam-1")[0] == 201
    yield site
    site.stop()


def spec() -> DeviceClassSpec:
    (example,) = (text for kind, text in BLOCKS if kind == "yaml")
    before = make_class("cam-day").spec
    return DeviceClassSpec.model_validate({**before.model_dump(by_alias=True), **yaml.safe_load(example)["spec"]})


def say(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the commands of a block here; each says what is shown below it."""
    for command in commands(f"```console\n{block}```\n"):
        capsys.readouterr()
        assert exit_code_of(shlex.split(command.text)[1:]) == 0
        said = capsys.readouterr().out.splitlines()
        assert len(command.shown) == len(said)
        for shown, line in zip(command.shown, said, strict=True):
            assert re.fullmatch(pattern(shown), line), (shown, line)


def test_the_page_from_declaration_to_erasure(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, but for the withdrawal, which comes last; what is taken by lot is taken here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSTER_SERVER", site.url)
    monkeypatch.setenv("MUSTER_STATE", str(site.state))
    (declared,) = spec().capture
    declared = declared.model_copy(update={"share": 1_000_000})
    site.published = published(declared)
    place = device(tmp_path / "device", declared, device_id="cam-1")
    sender = Sender(place, HttpServer(site.url), lambda: f"Bearer cam-1:{SECRET}")
    consoles = [text for kind, text in BLOCKS if kind == "console"]
    programs = [text for kind, text in BLOCKS if kind == "python"]
    (settings,) = (text for kind, text in BLOCKS if kind == "json")
    say(consoles[0], capsys)
    exec(programs[0], {})
    assert declared.statement in capsys.readouterr().out
    place.settings.write_text(settings.replace("/run/device-facts.json", str(tmp_path / "facts.json")))
    assert read_settings(place).locale == "de-DE"
    exec(programs[1], {})
    assert len(waiting(place)) == 1
    assert sender.send().samples == 0
    (tmp_path / "facts.json").write_text(*re.findall(r"is `(\{\"metered.*?\})`", PAGE))
    assert sender.send().samples == 1
    fleet = consoles[2].replace(" --out ", f" --repository {shlex.quote(os.fspath(ROOT))} --out ")
    say(fleet, capsys)
    assert len(json.loads((tmp_path / "labelling" / "tasks.json").read_text())) == 1
    say(consoles[1], capsys)
    assert sender.send().erased == 1
    assert len(consoles) == 3
    assert len(programs) == 2


def test_the_numbers_are_those_of_the_code() -> None:
    """Sizes, quotas and seconds."""
    quotas = Quotas()
    rows = dict(re.findall(r"^\| (\S[^|]*?) \| (.*) \|$", PAGE, flags=re.MULTILINE))
    assert rows["record"].startswith(f"{LARGEST_RECORD // 2**10} KiB")
    assert rows["content"].startswith(f"{LARGEST_SAMPLE // 2**20} MiB, in chunks of {LARGEST_CHUNK // 2**10} KiB")
    told = (f"{quotas.device_samples:,} samples", f"{quotas.device_bytes // 2**20} MiB", f"{quotas.open_uploads} that")
    assert ", ".join(told) in rows["of one device"]
    assert rows["of all"] == f"{quotas.all_bytes // 2**30} GiB"
    assert MOST_SECONDS == 10
    assert "sends for ten seconds at most" in PAGE
