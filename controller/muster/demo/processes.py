"""The demo's processes: the daemon, and the hosts of the agents. Each is started, and ended by its own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import urllib3

from muster.kinds.errors import TryAgain

START_SECONDS = 60.0
END_SECONDS = 30.0


class Process:
    """A child that writes to a log file."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        program: Sequence[str] = (sys.executable, "-m", "muster"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = [*program, *arguments]
        self._environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"} if environment is None else dict(environment)
        self._said = f"{program[-1]} {arguments[0]}"
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, in a process group of its own, so that an interrupt reaches the demo first."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own program
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        if self._child:
            self._child.kill()
            self._child.wait()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if it does not end; its exit code."""
        if not self._child:
            return 0
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            return self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def ended(self) -> int | None:
        """The exit code, if it ended."""
        return self._child.poll() if self._child else None

    def must_run(self) -> None:
        """Raise `TryAgain` with the end of the log if it has ended by itself."""
        if self._child and self.ended() is not None:
            said = self._log.read_text(errors="replace").strip().splitlines()[-8:]
            raise TryAgain(f"`{self._said}` ended with {self._child.returncode}: " + "\n".join(said))


class Daemon(Process):
    """`muster run` on the scratch remote."""

    def __init__(self, repository: Path, state: Path, log: Path) -> None:
        self.port = _free_port()
        self.server = f"http://127.0.0.1:{self.port}"
        super().__init__(
            (
                "run",
                "--repository",
                str(repository),
                "--state",
                str(state),
                "--listen",
                f"127.0.0.1:{self.port}",
                "--interval",
                "1s",
            ),
            log,
        )

    def wait_until_up(self) -> None:
        """Return once it answers."""
        http = urllib3.PoolManager(retries=False, timeout=2)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.must_run()
            try:
                if http.request("GET", f"{self.server}/healthz").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)
        raise TryAgain(f"the daemon did not answer within {START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
