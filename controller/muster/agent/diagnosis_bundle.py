"""The bundle of `muster agent diagnose`: the files of an archive that may be handed to others.

Only what is named here goes in: the diagnosis, TUF's metadata, and the manifests of kept artifacts, all of which are
public or were made without secrets. Device content (frames, answers, labels, the application's figures, waiting
reports, the log of predictions) is never read. Should a secret of the device stand in any of them all the same, it is
struck out.
"""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from muster.agent.diagnose import read_roles
from muster.agent.diagnosis import Diagnosis
from muster.agent.folder import DeviceFolder, read_bounded
from muster.agent.identity import read_identity
from muster.agent.slots import Slots
from muster.artifacts.bundle import LIMITS, MANIFEST
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import hex_of
from muster.kinds.errors import MusterError

STRUCK = b"[struck out]"
_SECRET_LIMIT = 64 * 1024
_SHORTEST = 8
"""What is shorter is no secret, and would strike out words."""


def members_of(folder: DeviceFolder, diagnosis: Diagnosis) -> dict[str, bytes]:
    """{name: bytes}: the same for the same diagnosis of the same folder. Raises `Unusable`."""
    found = [one.model_dump(mode="json") for one in diagnosis.findings]
    members = {"diagnosis.json": canonical_json({**diagnosis.model_dump(mode="json"), "findings": found}) + b"\n"}
    members |= {f"tuf/{role}.json": data for role, data in read_roles(folder).items()}
    slots = Slots(folder)
    for artifact in {slot.artifact for model in diagnosis.models for slot in model.slots}:
        with contextlib.suppress(MusterError):
            data = read_bounded(slots.place(artifact) / MANIFEST, LIMITS[MANIFEST])
            members[f"manifests/{hex_of(artifact)}.json"] = data
    secrets = _secrets(folder)
    return {name: _without(data, secrets) for name, data in members.items()}


def _without(data: bytes, secrets: list[bytes]) -> bytes:
    for secret in secrets:
        data = data.replace(secret, STRUCK)
    return data


def _secrets(folder: DeviceFolder) -> list[bytes]:
    """Longest first: one may be a part of another."""
    found = set()
    for path in (folder.secret, folder.next_secret):
        with contextlib.suppress(MusterError):
            found.add(read_bounded(path, _SECRET_LIMIT).strip())
    with contextlib.suppress(ValueError):
        parts = urlsplit(read_identity(folder).server)
        found |= {part.encode() for part in (parts.username, parts.password, parts.query, parts.path) if part}
    return sorted((one for one in found if len(one) >= _SHORTEST), key=lambda one: (-len(one), one))
