"""Another secret for the device: made here, announced under the old one, then used.

The server lets both hold until the new one was used, so every crash in between is mended by doing it again: the new
secret is kept before it is sent, and takes the old one's place after the server has it.
"""

from __future__ import annotations

import secrets

from muster.agent.folder import DeviceFolder
from muster.agent.server import NEW_SECRET, Server
from muster.agent.setbacks import disk_full, server_away
from muster.artifacts.durable import sync_folder
from muster.attest.private_files import create_private, read_private
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Refused


def rotate(folder: DeviceFolder, server: Server, device_id: str, secret: str) -> str:
    """The new secret, which the folder holds from now on.

    Raises `Refused` if the server does not know the device, `Postponed` if it should be tried again.
    """
    create_private(folder.next_secret, secrets.token_urlsafe(32).encode())
    new = read_private(folder.next_secret).decode(errors="replace").strip()
    answer = server.post(NEW_SECRET, {"Authorization": f"Bearer {device_id}:{secret}"}, canonical_json({"secret": new}))
    if answer.status in (401, 403):
        raise Refused("the server does not know this device", "enrol it again with: muster agent enrol")
    if answer.status != 200:
        raise server_away(f"the server answers {answer.status} to a new secret", answer.retry_after)
    try:
        folder.next_secret.replace(folder.secret)
        sync_folder(folder.path)
    except OSError as error:
        raise disk_full(f"cannot replace {folder.secret}: {error.strerror}") from error
    return new
