"""A second TUF client, in another language and by other people (tuf-js), reads what we publish as ours does.

python-tuf is in the publisher and in the agent: what both of them got wrong alike, no test between the two would show.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from publishing import NOW, YEAR_OFF_LINE, Device, Site
from tuf.api.metadata import Metadata, Targets

from muster.apply.key_rotation import Wish, rotate_keys
from muster.kinds.desired import artifact_target, desired_target, signature_target

MODULES = Path(__file__).parents[2] / ".peers" / "apply" / "node_modules"
SCRIPT = Path(__file__).with_name("other_client.js")


def _missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not here"
    return None if (MODULES / "tuf-js").is_dir() else "tuf-js is not here; `make peers` brings it"


pytestmark = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")

Read = Callable[..., dict[str, Any]]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A controller that published generation 1."""
    made = Site.at(tmp_path / "site")
    made.publish(1, "1.0.0")
    return made


@pytest.fixture
def read(site: Site, tmp_path: Path) -> Iterator[Read]:
    """Reads by tuf-js, over a plain static file server, on a device that was given the first root."""
    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copy(site.public / "metadata" / "1.root.json", folder / "root.json")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site.public))) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()

        def by_node(*targets: str) -> dict[str, Any]:
            command = ["node", str(SCRIPT), f"http://127.0.0.1:{server.server_port}", str(folder), *targets]
            environment = {**os.environ, "NODE_PATH": str(MODULES)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        yield by_node
        server.shutdown()
        thread.join()


def listed(site: Site, generation: int) -> dict[str, str]:
    """{target: sha256} of what the targets of a generation list."""
    path = site.public / "metadata" / f"{generation}.targets.json"
    return {
        name: target.hashes["sha256"] for name, target in Metadata[Targets].from_file(str(path)).signed.targets.items()
    }


def test_it_reads_every_published_file(site: Site, read: Read) -> None:
    """Documents, artifacts, signatures and keys, of the first generation and of the next; and nothing else."""
    first = listed(site, 1)
    assert desired_target("meter-reader", "cam") in first
    assert {"root": 1, "targets": {**first, "desired/other/cam.json": None}} == read(*first, "desired/other/cam.json")
    newer = site.publish(2, "1.1.0")
    second = listed(site, 2)
    assert {artifact_target(newer.digest), signature_target(newer.digest)} <= second.keys()
    assert first[desired_target("meter-reader", "cam")] != second[desired_target("meter-reader", "cam")]
    assert {"root": 1, "targets": second} == read(*second)


def test_it_follows_rotated_keys_after_a_year_off_line(aged: Site, read: Read, site: Site, tmp_path: Path) -> None:
    """From root 1 to 41 at once, past keys that are gone; our client ends at the same root."""
    shutil.copy(aged.public / "metadata" / "1.root.json", tmp_path / "other" / "root.json")
    shutil.rmtree(site.public)
    shutil.copytree(aged.public, site.public)
    site = Site(site.folder, aged.keys)
    site.publish(2, "1.1.0")
    document = desired_target("meter-reader", "cam")
    expected = {"root": YEAR_OFF_LINE + 1, "targets": {document: listed(site, 2)[document]}}
    assert expected == read(document)
    assert Device(tmp_path / "ours", site).poll().generation == 2


def test_it_refuses_what_ours_refuses(site: Site, read: Read) -> None:
    """An older generation, a changed document, and what a replaced key signs."""
    document = desired_target("meter-reader", "cam")
    timestamp = site.public / "metadata" / "timestamp.json"
    old = timestamp.read_bytes()
    site.publish(2, "1.1.0")
    now = timestamp.read_bytes()
    assert "refused" not in read(document)
    timestamp.write_bytes(old)
    assert "New timestamp version 1 is less than current version 2" in read(document)["refused"]
    timestamp.write_bytes(now)
    (place,) = (site.public / "targets").rglob(f"{listed(site, 2)[document]}.cam.json")
    content = place.read_bytes()
    place.write_bytes(content.replace(b"1.1.0", b"9.9.9"))
    assert "hash" in read(document)["refused"]
    place.write_bytes(content)
    rotate_keys(site.folder, Wish(("timestamp",)), NOW)
    assert read(document)["root"] == 2
    forged = Metadata.from_bytes(now)
    forged.signed.version += 10
    forged.sign(site.keys.signer("timestamp"))
    timestamp.write_bytes(forged.to_bytes())
    assert "timestamp" in read(document)["refused"]
