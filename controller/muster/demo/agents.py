"""The demo's devices: real agents with a folder each, one process for each device class.

The camera is simulated: a device replays frames of held-out digits. `cam-lowlight` delivers a quarter of the
contrast, as its sensor does in the field.
"""

from __future__ import annotations

from pathlib import Path

from muster.agent.enrol import enrol
from muster.agent.folder import DeviceFolder
from muster.agent.http_server import HttpServer
from muster.agent.identity import make_identity
from muster.artifacts.store import Store
from muster.artifacts.tensors import Tensor, dump_tensors, load_tensors
from muster.demo.processes import Process
from muster.demo.report import Check
from muster.demo.scratch import MODEL

# Device class → what its sensor divides the contrast by.
CLASSES = {"cam-day": 1, "cam-edge": 1, "cam-lowlight": 4}
FRAME_INTERVAL = "50ms"


class AgentHosts:
    """Folders of all devices, and the processes that run them."""

    agent_classes: tuple[str, ...] = tuple(CLASSES)

    def __init__(self, folder: Path, server: str, per_class: int, canaries: int) -> None:
        self._folder = folder
        self._server = server
        self._per_class = per_class
        self._canaries = canaries
        self._hosts: list[Process] = []

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return len(CLASSES) * self._per_class

    def ids_of(self, device_class: str) -> list[str]:
        """The devices of a class; the first of them are canaries."""
        return [f"{device_class}-{number:03d}" for number in range(self._per_class)]

    def is_canary(self, device_id: str) -> bool:
        """True for the first devices of each class."""
        return int(device_id.rpartition("-")[2]) < self._canaries

    def declarations(self, state: Path, clone: Path) -> dict[str, bytes]:
        """What the repository has to say for these devices, by path."""
        del state, clone
        return {}

    def checks(self, bad: str) -> tuple[Check, ...]:
        """What was seen of these devices beyond what they reported. `bad` is the version that is taken back."""
        del bad
        return ()

    def enrol(self, token: str, root: Path) -> None:
        """Enrol every device, as `muster agent enrol` does."""
        self._folder.mkdir()
        for device_class in CLASSES:
            for device_id in self.ids_of(device_class):
                identity = make_identity(
                    device_id=device_id,
                    device_class=device_class,
                    labels={"ring": "canary" if self.is_canary(device_id) else "main"},
                    models=(MODEL,),
                    server=self._server,
                )
                enrol(self._device(identity.device_id), HttpServer(self._server), identity, token, root)

    def start(self, store: Store, field: str, poll_interval: str) -> None:
        """Start one process for each class, with the frames that its cameras see. `field`: digest of the snapshot."""
        for device_class in self.agent_classes:
            path = self._folder / f"{device_class}.tensors"
            path.write_bytes(dump_tensors({"frames": self._frames(store, field, device_class)}))
            folders = [
                argument
                for device_id in self.ids_of(device_class)
                for argument in ("--folder", str(self._device(device_id).path))
            ]
            arguments = ["agent", "run", "--frames", str(path), "--frame-interval", FRAME_INTERVAL]
            arguments += ["--poll-interval", poll_interval, *folders]
            host = Process(arguments, self._folder.parent / f"{device_class}.log")
            host.start()
            self._hosts.append(host)

    def must_run(self) -> None:
        """Raise `TryAgain` if a process ended."""
        for host in self._hosts:
            host.must_run()

    def stop(self) -> None:
        """End every process."""
        for host in self._hosts:
            host.stop()

    def _frames(self, store: Store, field: str, device_class: str) -> Tensor:
        """What cameras of the class see."""
        frames: Tensor = load_tensors(store.get(field))["frames"] // CLASSES[device_class]
        return frames

    def _device(self, device_id: str) -> DeviceFolder:
        return DeviceFolder(self._folder / device_id)
