"""Looking at one device without changing anything on it: the agent may run meanwhile.

The server is asked through a copy of the device's TUF metadata, so that what the agent believes is left alone. The
golden run is in a process of its own, as a first load is: what crashes or hangs does so there.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from muster import __version__
from muster.agent.diagnose_model import Fetched, Looking, look_at_model
from muster.agent.diagnosis import Checked, Diagnosis, Memory, Role, Space
from muster.agent.first_load import FirstLoad, available_memory, total_memory
from muster.agent.folder import DeviceFolder, is_held, read_bounded
from muster.agent.identity import read_identity, read_root, read_set_labels
from muster.agent.journal import ModelState, Slot, read_journal
from muster.agent.moment import Moment
from muster.agent.promotion import read_signing_keys
from muster.agent.server import Server
from muster.agent.setbacks import Postponed
from muster.agent.sources import Sources
from muster.agent.trusted import TrustedTargets
from muster.agent.vitals import Thermal, os_version, thermal_state
from muster.kinds.enrolment import effective
from muster.kinds.errors import MusterError
from muster.kinds.moment import utc_text

ROLES = ("root", "targets", "snapshot", "timestamp")
_METADATA_LIMIT = 2**22
_LIBRARIES = ("numpy", "onnxruntime", "pydantic", "tuf", "urllib3")


def _disk(folder: Path) -> tuple[int, int]:
    found = shutil.disk_usage(folder)
    return found.total, found.free


@dataclass(frozen=True)
class Means:
    """The world, as far as it is looked at. Everything in here can be another in a test.

    `server` is None if it is not to be asked. `providers`: what the runtime offers on this device.
    """

    server: Server | None
    providers: Sequence[str]
    try_golden: Callable[[Path, Slot], None] = field(default_factory=FirstLoad)
    disk: Callable[[Path], tuple[int, int]] = _disk
    thermal_state: Callable[[], Thermal] = thermal_state


def diagnose(folder: DeviceFolder, means: Means, now: datetime) -> Diagnosis:
    """Look at everything once. Raises `Unusable` if the folder holds no device that was enrolled."""
    identity = read_identity(folder)
    state, recovery = read_journal(folder)
    labels = effective(identity.labels, read_set_labels(folder))
    total, free = means.disk(folder.path)
    with tempfile.TemporaryDirectory(prefix="muster-diagnose-") as scratch:
        answers, fetched = _fetch(folder, Path(scratch), means.server, now)
        looking = Looking(folder, identity, labels, fetched, means.providers, free, means.try_golden, now)
        models = tuple(look_at_model(looking, name, state.models.get(name, ModelState())) for name in identity.models)
    return Diagnosis(
        at=utc_text(now),
        device_id=identity.device_id,
        device_class=identity.device_class,
        label_keys=tuple(sorted(labels)),
        server=plain_server(identity.server),
        server_answers=answers,
        agent_runs=_agent_runs(folder),
        journal=recovery,
        problem=state.problem,
        downloads=state.downloads,
        waiting_reports=len(state.outbox),
        versions=_versions(),
        providers=tuple(means.providers),
        disk=Space(total=total, free=free, agent=_bytes_below(folder.path)),
        memory=Memory(total=total_memory(), available=available_memory()),
        thermal_state=means.thermal_state(),
        metadata=tuple(_roles(folder, now)),
        models=models,
    )


def plain_server(url: str) -> str:
    """Scheme, host and port of a URL: a user, a password or a path in it may be secrets."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "unreadable"
    return f"{parts.scheme}://{parts.hostname}{port}"


def _fetch(folder: DeviceFolder, scratch: Path, server: Server | None, now: datetime) -> tuple[Checked, Fetched]:
    """What the server publishes now, through a copy of what the device believes."""
    nothing = Fetched(None, ())
    if server is None:
        return Checked(result="skipped", why="not asked"), nothing
    copy = DeviceFolder(scratch)
    try:
        if folder.tuf.is_dir():
            shutil.copytree(folder.tuf, copy.tuf, symlinks=True)
        trusted = TrustedTargets(copy, Sources(server), read_root(folder.root))
        trusted.refresh(Moment(time.monotonic(), now))
        return Checked(result="held"), Fetched(trusted, read_signing_keys(trusted))
    except Postponed as setback:
        return Checked(result="failed", code=setback.error_code, why=setback.message), nothing
    except (MusterError, OSError, shutil.Error) as error:
        return Checked(result="failed", code="metadata_invalid", why=str(error)), nothing


def read_roles(folder: DeviceFolder) -> dict[str, bytes]:
    """{role: file} of the metadata that the device verified before, as far as it can be read."""
    found = {}
    for role in ROLES:
        # TUF's client keeps the root as a link into its history.
        path = (folder.tuf / f"{role}.json").resolve()
        if path.is_relative_to(folder.tuf.resolve()):
            with contextlib.suppress(MusterError):
                found[role] = read_bounded(path, _METADATA_LIMIT)
    return found


def _roles(folder: DeviceFolder, now: datetime) -> list[Role]:
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata

    roles = []
    for role, data in read_roles(folder).items():
        with contextlib.suppress(RepositoryError, ValueError):
            signed = Metadata.from_bytes(data).signed
            expires = utc_text(signed.expires)
            roles.append(Role(role=role, version=signed.version, expires=expires, expired=signed.expires <= now))
    return roles


def _agent_runs(folder: DeviceFolder) -> bool:
    try:
        return is_held(folder.lock)
    except OSError:
        return False


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # The agent goes on meanwhile: what was listed may be gone.
            with contextlib.suppress(OSError):
                total += (Path(place) / name).lstat().st_blocks * 512
    return total


def _versions() -> dict[str, str]:
    found = {
        "muster": __version__,
        "python": platform.python_version(),
        "os": f"{platform.system().lower()} {os_version() or 'unknown'}",
        "kernel": platform.release(),
        "architecture": platform.machine(),
    }
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
