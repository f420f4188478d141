"""A mixed fleet: one class of the demo's devices has update clients that speak hawkBit's DDI, the others have agents.

The class is the one whose cameras fail in the story, so that what DDI clients and their applications say has to be
enough for the statistics. One client is Debian's SWUpdate where that is installed; the others are simulated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import urllib3

from muster.agent.identity import read_secret
from muster.apply.key_setup import new_named_key, read_named_key
from muster.artifacts.store import Store
from muster.attest.package_signature import package_certificate
from muster.demo import swupdate
from muster.demo.agents import CLASSES, AgentHosts
from muster.demo.ddi_client import Application, Line, SimulatedClient
from muster.demo.report import Check
from muster.demo.scratch import MODEL
from muster.demo.swupdate import Swupdate
from muster.kinds.errors import MusterError, TryAgain

DDI_CLASS: Final = "cam-lowlight"
_KEY: Final = "swu"
_PAUSE: Final = 1.0
_LONGEST_STAND: Final = 10
"""Polls at which SWUpdate does nothing, in all since it was last started for that."""


class RealClient:
    """SWUpdate, somebody who says after each restart that it works, and the application."""

    def __init__(self, device: Swupdate, line: Line, say: Callable[[bytes], Mapping[str, str]]) -> None:
        self.device = device
        self._line = line
        self._say = say
        self._confirmed = 0
        self._starts = 0
        self._stood = 0
        self.ends: list[int] = []

    def step(self) -> None:
        """Confirm what was installed, and speak for the application. Raises `TryAgain`."""
        if (code := self.device.ended()) is not None:
            # What starts services on a device starts it again; what it had not told by then, it does anew.
            self.ends.append(code)
            self.device.boot()
        found = self.device.installations()
        if found > self._confirmed:
            self._confirmed, self._starts = found, self.device.starts() + 1
            self.device.boot(swupdate.CONFIRM)
        elif self._starts and self.device.starts() >= self._starts:
            # As long as it stands on its command line that something is confirmed, it installs nothing else.
            self._starts = 0
            self.device.boot()
        elif self.device.stands() - self._stood > _LONGEST_STAND:
            # It told that an installation failed, and holds it for installed all the same: whoever looks after the
            # device would start it again.
            self._stood = self.device.stands()
            self.device.boot()
        if self.device.installed.exists():
            self._line.tell(self._say(self.device.installed.read_bytes()))


class Crew:
    """A thread that lets clients take their steps, one after the other. The server may be away: they try again."""

    def __init__(self, clients: Sequence[SimulatedClient | RealClient]) -> None:
        self._clients = clients
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ddi-clients", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the step that is under way."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def must_run(self) -> None:
        """Raise `TryAgain` if it ended by itself."""
        if not self._thread.is_alive() and not self._ended.is_set():
            raise TryAgain("the DDI clients ended by themselves")

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE):
            for client in self._clients:
                try:
                    client.step()
                except MusterError:
                    # As on a device: at the next poll.
                    continue


class MixedHosts(AgentHosts):
    """Agents for two classes, DDI clients for the third."""

    agent_classes = tuple(name for name in CLASSES if name != DDI_CLASS)

    def __init__(self, folder: Path, server: str, per_class: int, canaries: int) -> None:
        super().__init__(folder, server, per_class, canaries)
        self._certificate = b""
        self._simulated: list[SimulatedClient] = []
        self._real: list[RealClient] = []
        self._crews: list[Crew] = []
        self._pool = urllib3.PoolManager(retries=False, timeout=10, maxsize=4)

    def declarations(self, state: Path, clone: Path) -> dict[str, bytes]:
        """How the devices of the class talk, and the key that their packages are signed with."""
        path = f"devices/classes/{DDI_CLASS}.yaml"
        packaging = f"  agent: ddi\n  package: swu\n  swu:\n    folder: {self._board / 'models'}\n"
        _, declaration = new_named_key(state, _KEY, ["packages"])
        self._certificate = package_certificate(read_named_key(state, _KEY))
        return {
            path: ((clone / path).read_text().rstrip() + f"\n{packaging}").encode(),
            f"policies/keys/{_KEY}.yaml": declaration.encode(),
        }

    def start(self, store: Store, field: str, poll_interval: str) -> None:
        """Start the agents, then the DDI clients."""
        super().start(store, field, poll_interval)
        application = Application(MODEL, self._frames(store, field, DDI_CLASS))
        ids = self.ids_of(DDI_CLASS)
        self._real = []
        if swupdate.is_there():
            first, *ids = ids
            who = (first, read_secret(self._device(first)))
            board = Swupdate(self._board, self._server, who, self._certificate)
            self._real = [RealClient(board, self._line(first), application.attributes)]
            board.boot()
        self._simulated = [SimulatedClient(one, self._line(one), application.attributes) for one in ids]
        self._crews = [Crew(self._simulated), Crew(self._real)]
        for crew in self._crews:
            crew.start()

    def must_run(self) -> None:
        """Raise `TryAgain` if something ended."""
        super().must_run()
        for crew in self._crews:
            crew.must_run()

    def stop(self) -> None:
        """End everything."""
        for crew in self._crews:
            crew.stop()
        for real in self._real:
            real.device.stop()
        super().stop()

    def checks(self, bad: str) -> tuple[Check, ...]:
        """What the clients themselves saw."""
        canaries = {device_id for device_id in self.ids_of(DDI_CLASS) if self.is_canary(device_id)}
        fetched = {client.device_id for client in self._simulated if client.fetched[bad]}
        again = sum(count - 1 for client in self._simulated for count in client.fetched.values() if count > 1)
        installations = [real.device.installations() for real in self._real]
        real = "(swupdate is not installed)"
        if self._real:
            ends = f", started again after it ended with {self._real[0].ends}" if self._real[0].ends else ""
            real = f"and SWUpdate {swupdate.version()}{ends}"
        return (
            Check(
                f"DDI clients of {DDI_CLASS} took the same way as agents",
                all(client.installed for client in self._simulated) and all(count > 1 for count in installations),
                f"{len(self._simulated)} simulated clients {real}, {self.devices - len(self.ids_of(DDI_CLASS))} agents",
            ),
            Check(
                f"no DDI client outside the canary fetched {bad}",
                bool(fetched) and fetched <= canaries,
                f"fetched by {len(fetched)} clients; without a second slot they came back by {again} downloads",
            ),
        )

    @property
    def _board(self) -> Path:
        return self._folder.parent / "board"

    def _line(self, device_id: str) -> Line:
        base = f"{self._server}/DEFAULT/controller/v1/{device_id}"
        return Line(base, read_secret(self._device(device_id)), self._pool)
