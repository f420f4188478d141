"""Enrolment, and the folder that it fills."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from agent_simulator import CLASS_NAME, MODEL_NAME, TOKEN, Repository, SimulatedServer

from muster.agent.enrol import enrol
from muster.agent.folder import DeviceFolder
from muster.agent.identity import Identity, make_identity, parse_server, read_identity, read_secret
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable


def _identity(device_id: str = "device-1") -> Identity:
    return make_identity(
        device_id=device_id, device_class=CLASS_NAME, labels={}, models=(MODEL_NAME,), server="https://muster.example"
    )


@pytest.fixture
def server() -> SimulatedServer:
    return SimulatedServer(Repository())


@pytest.fixture
def root(tmp_path: Path, server: SimulatedServer) -> Path:
    path = tmp_path / "root.json"
    path.write_bytes(server.repository.root)
    return path


def test_a_device_is_enrolled_with_a_secret_of_its_own(tmp_path: Path, server: SimulatedServer, root: Path) -> None:
    """The secret is long, in a file that only the owner reads, and not in identity.json."""
    folder = DeviceFolder(tmp_path / "device")
    enrol(folder, server, _identity(), TOKEN, root)
    assert _identity() == read_identity(folder)
    secret = read_secret(folder)
    assert server.secrets == {"device-1": secret}
    assert len(secret) >= 32
    assert stat.S_IMODE(folder.secret.stat().st_mode) == 0o600
    assert secret not in folder.identity.read_text()


def test_enrolment_that_was_cut_off_is_completed_by_repeating_it(
    tmp_path: Path, server: SimulatedServer, root: Path
) -> None:
    """The server took it, the answer was lost: the same secret is sent again."""
    folder = DeviceFolder(tmp_path / "device")
    server.enrol_dies_after_taking = True
    with pytest.raises(TryAgain):
        enrol(folder, server, _identity(), TOKEN, root)
    with pytest.raises(Unusable, match="no enrolled device"):
        read_identity(folder)
    server.enrol_dies_after_taking = False
    enrol(folder, server, _identity(), TOKEN, root)
    assert server.secrets == {"device-1": read_secret(folder)}


def test_an_id_that_is_taken_is_refused(tmp_path: Path, server: SimulatedServer, root: Path) -> None:
    """Another folder has another secret, so it is another device."""
    enrol(DeviceFolder(tmp_path / "one"), server, _identity(), TOKEN, root)
    with pytest.raises(Refused, match="with another secret"):
        enrol(DeviceFolder(tmp_path / "two"), server, _identity(), TOKEN, root)
    assert not DeviceFolder(tmp_path / "two").identity.exists()


def test_a_wrong_token_is_refused_and_not_repeated_in_the_message(
    tmp_path: Path, server: SimulatedServer, root: Path
) -> None:
    """Messages end in logs."""
    with pytest.raises(Refused, match="token was not accepted") as caught:
        enrol(DeviceFolder(tmp_path / "device"), server, _identity(), "guessed-token", root)
    assert "guessed-token" not in str(caught.value)


def test_a_folder_belongs_to_one_device(tmp_path: Path, server: SimulatedServer, root: Path) -> None:
    """Its secret and its journal are those of that device."""
    enrol(DeviceFolder(tmp_path / "device"), server, _identity(), TOKEN, root)
    with pytest.raises(Refused, match="belongs to device device-1"):
        enrol(DeviceFolder(tmp_path / "device"), server, _identity("device-2"), TOKEN, root)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"signed": {}, "signatures": []}'])
def test_a_root_that_is_none_is_refused(tmp_path: Path, server: SimulatedServer, root: Path, content: bytes) -> None:
    """Before anything is sent."""
    root.write_bytes(content)
    with pytest.raises(MusterError):
        enrol(DeviceFolder(tmp_path / "device"), server, _identity(), TOKEN, root)
    assert server.requests == []


def test_a_root_that_is_not_signed_as_it_asks_is_refused(tmp_path: Path, server: SimulatedServer, root: Path) -> None:
    """An altered root would move trust."""
    altered = server.repository.root.replace(b'"consistent_snapshot":true', b'"consistent_snapshot":false')
    assert altered != server.repository.root
    root.write_bytes(altered)
    with pytest.raises(Refused, match="no TUF root"):
        enrol(DeviceFolder(tmp_path / "device"), server, _identity(), TOKEN, root)


@pytest.mark.parametrize(
    "url",
    ["ftp://host", "host", "https://", "https://user:secret@host", "https://host?x=1", "https://host:99999", "http://[",
     "https://ho st", "http://muster.example"],
)  # fmt: skip
def test_a_url_that_is_no_server_is_refused(url: str) -> None:
    """Plain HTTP to another machine included."""
    with pytest.raises(MusterError):
        parse_server(url)


@pytest.mark.parametrize("url", ["https://host/", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"])
def test_a_server_on_this_machine_or_behind_tls_is_accepted(url: str) -> None:
    """The slash at the end goes."""
    assert url.rstrip("/") == parse_server(url)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, server: SimulatedServer, root: Path) -> None:
    """It may be known already."""
    folder = DeviceFolder(tmp_path / "device")
    enrol(folder, server, _identity(), TOKEN, root)
    os.chmod(folder.secret, 0o644)  # noqa: PTH101
    with pytest.raises(Refused, match="open to others"):
        read_secret(folder)


def test_a_second_agent_on_a_folder_is_refused(tmp_path: Path) -> None:
    """Two agents would write one journal."""
    folder = DeviceFolder(tmp_path)
    with folder.held(), pytest.raises(Refused, match="another agent"), folder.held():
        pass
    with folder.held():
        pass
