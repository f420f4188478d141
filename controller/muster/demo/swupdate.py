"""Debian's SWUpdate as a device of the demo: its own daemon for hawkBit (suricatta), as nobody but the demo's user.

SWUpdate tells that an update succeeded only after the next start, once somebody said that it works: here, that the file
is in place. Whether the model answers as it should is the application's word.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from muster.demo.processes import Process

_INSTALLED: Final = "Update successful, executing post-update actions."
_UP: Final = "Server initialized, entering suricatta main loop."
_STANDS: Final = "Please restart SWUpdate to report the test results upstream."
CONFIRM, FAIL = "-c 2", "-c 3"
_CONFIG: Final = """globals : {{
  verbose = true; loglevel = 5;
  public-key-file = "{folder}/swu.crt"; cert-purpose = "codeSigning"; bootloader = "none";
}};
identify : ( {{ name = "board"; value = "camera"; }} );
suricatta : {{
  tenant = "DEFAULT"; id = "{device_id}"; url = "{server}"; retry = 8; retrywait = 1;
  targettoken = "{secret}"; enable = true;
}};
"""


def is_there() -> bool:
    """True if the program is installed."""
    return shutil.which("swupdate") is not None


def version() -> str:
    """As Debian calls it, or what the program says of itself."""
    query = ["dpkg-query", "--show", "--showformat=${Version}", "swupdate"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "of unknown version"  # noqa: S603
    except OSError:
        return "of unknown version"


class Swupdate:
    """One device's SWUpdate. Its folder gets its configuration, its log, and what `models` holds once it installed."""

    def __init__(self, folder: Path, server: str, who: tuple[str, str], certificate: bytes) -> None:
        device_id, secret = who
        self.installed = folder / "models" / "meter-reader.tar"
        self.log = folder / "swupdate.log"
        self._folder = folder
        self._process: Process | None = None
        (folder / "run").mkdir(parents=True)
        (folder / "swu.crt").write_bytes(certificate)
        config = _CONFIG.format(folder=folder, server=server, device_id=device_id, secret=secret)
        (folder / "swupdate.cfg").write_text(config)
        (folder / "swupdate.cfg").chmod(0o600)

    def boot(self, confirm: str = "") -> None:
        """Start it, after a stop if it runs. `confirm` is what is said of what was installed before."""
        self.stop()
        arguments = ["-f", str(self._folder / "swupdate.cfg"), "-H", "board:1.0", "-u", confirm]
        environment = {"TMPDIR": str(self._folder / "run"), "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        self._process = Process(arguments, self.log, ["swupdate"], environment)
        self._process.start()

    def stop(self) -> None:
        """End it, and what it started."""
        if self._process:
            self._process.stop()

    def ended(self) -> int | None:
        """The exit code, if it ended by itself."""
        return self._process.ended() if self._process else None

    def installations(self) -> int:
        """How often it told, since the folder was made, that a file is in place."""
        return self._said(_INSTALLED)

    def starts(self) -> int:
        """How often it was up, and had told what was confirmed."""
        return self._said(_UP)

    def stands(self) -> int:
        """How often it told that it does nothing before the next start."""
        return self._said(_STANDS)

    def _said(self, what: str) -> int:
        return self.log.read_text(errors="replace").count(what) if self.log.exists() else 0
