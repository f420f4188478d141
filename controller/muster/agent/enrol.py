"""Enrolment: a token from the fleet's owner, and a secret that the device makes itself, make a device known.

The secret is kept before it is sent, so that enrolment which was cut off anywhere is completed by repeating it: the
server takes the same id with the same secret again. identity.json comes last and says that it is done.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from muster.agent.folder import DeviceFolder
from muster.agent.identity import Identity, read_identity, read_root, read_secret, write_identity
from muster.agent.server import ENROL, POST_ANSWER_LIMIT, Answer, Server
from muster.agent.setbacks import server_away
from muster.artifacts.durable import write_durably
from muster.attest.private_files import create_private, make_private_folder
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable


def enrol(folder: DeviceFolder, server: Server, identity: Identity, token: str | None, root: Path) -> None:
    """Enrol a device and fill its folder. No token: its secret was registered, or its certificate speaks for it.

    Raises `Refused` (token, id taken, folder of another device), `Unusable`, `TryAgain` (repeat the call).
    """
    trusted = read_root(root)
    if folder.identity.exists() and (known := read_identity(folder)).device_id != identity.device_id:
        raise Refused(f"{folder.path} belongs to device {known.device_id}", "give another folder")
    make_private_folder(folder.path)
    create_private(folder.secret, secrets.token_urlsafe(32).encode())
    write_durably(folder.root, trusted)
    body = {
        "device_id": identity.device_id,
        "device_class": identity.device_class,
        "labels": dict(identity.labels),
        "models": list(identity.models),
        "secret": read_secret(folder),
        **({"token": token} if token else {}),
    }
    answer = server.post(ENROL, {}, canonical_json(body))
    if answer.status == 202:
        raise TryAgain(f"{identity.device_id} waits until somebody accepts it", "repeat this once that was done")
    if answer.status not in (200, 201):
        raise _refusal(answer, identity)
    write_identity(folder, identity)


def _refusal(answer: Answer, identity: Identity) -> MusterError:
    said = _message(answer)
    match answer.status:
        case 401 | 403:
            return Refused(f"the enrolment token was not accepted{said}", "ask the owner of the fleet for a valid one")
        case 409:
            return Refused(
                f"{identity.device_id} was not enrolled{said}",
                "use the folder that it was enrolled with, another id, or a declared class",
            )
        case 400 | 413 | 422:
            return Unusable(f"the server cannot use this enrolment{said}")
        case _:
            return server_away(f"the server answers {answer.status}{said}", answer.retry_after)


def _message(answer: Answer) -> str:
    """What the server says, as one line that a terminal can show."""
    try:
        text = json.loads(answer.read(POST_ANSWER_LIMIT))["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {''.join(filter(str.isprintable, text))[:300]}" if isinstance(text, str) and text else ""
