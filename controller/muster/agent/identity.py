"""Who a device is: id, class, labels, models and server, as declared at enrolment. The secret has its own file."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError

from muster.agent.folder import DeviceFolder, read_bounded
from muster.artifacts.durable import write_durably
from muster.attest.private_files import read_private
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import DeviceId, Name
from muster.kinds.errors import Refused, Unusable
from muster.kinds.freeze import TimeZone
from muster.kinds.resource import AsTuple, Declared, Labels

ROOT_LIMIT = 512_000
MOST_MIRRORS = 8
_IDENTITY_LIMIT = 64 * 1024
_labels: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)


class Identity(Declared):
    """identity.json. `time_zone`: whose clocks maintenance windows are read on; None: the system's.

    `mirrors`: URLs whose `/tuf/` holds what the server's does; for this device, or its site.
    """

    device_id: DeviceId
    device_class: Name
    labels: Labels
    models: Annotated[tuple[Name, ...], AsTuple, Field(min_length=1, max_length=64)]
    server: str
    mirrors: Annotated[
        tuple[str, ...], AsTuple, Field(max_length=MOST_MIRRORS, exclude_if=lambda mirrors: not mirrors)
    ] = ()
    time_zone: Annotated[TimeZone | None, Field(exclude_if=lambda zone: zone is None)] = None


def make_identity(**fields: Any) -> Identity:
    """An identity from what a person typed. Raises `Unusable`, naming the field."""
    try:
        return Identity(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Unusable(f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}") from None


def read_identity(folder: DeviceFolder) -> Identity:
    """The identity of an enrolled device. Raises `Unusable`."""
    if not folder.identity.exists():
        raise Unusable(f"{folder.path} holds no enrolled device", "enrol it first: muster agent enrol --help")
    try:
        return Identity.model_validate_json(read_bounded(folder.identity, _IDENTITY_LIMIT))
    except ValidationError as error:
        raise Unusable(f"{folder.identity} is damaged", "enrol the device again, with the same folder") from error


def write_identity(folder: DeviceFolder, identity: Identity) -> None:
    """Keep the identity. It is written last at enrolment: a folder with it is an enrolled device."""
    write_durably(folder.identity, canonical_json(identity.model_dump(mode="json")))


def read_secret(folder: DeviceFolder) -> str:
    """The device's secret. Raises `Unusable` if it is missing, `Refused` if others can read it."""
    if not folder.secret.exists():
        raise Unusable(f"{folder.secret} is missing", "enrol the device again")
    return read_private(folder.secret).decode(errors="replace").strip()


def read_set_labels(folder: DeviceFolder) -> dict[str, str]:
    """Labels that people set. None if the file is missing or damaged: the server tells them again."""
    try:
        return _labels.validate_json(read_bounded(folder.set_labels, _IDENTITY_LIMIT))
    except (Unusable, ValidationError):
        return {}


def write_set_labels(folder: DeviceFolder, labels: Mapping[str, str]) -> None:
    """Keep them. Raises `TryAgain`."""
    write_durably(folder.set_labels, canonical_json(dict(labels)))


def read_root(path: Path) -> bytes:
    """A TUF root that is signed as it asks for itself. Raises `Unusable`, `Refused`."""
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    data = read_bounded(path, ROOT_LIMIT)
    try:
        root = Metadata[Root].from_bytes(data)
        if root.signed.type != Root.type:
            raise Unusable(f"{path} is TUF metadata, but no root")
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except (RepositoryError, ValueError, TypeError) as error:
        raise Refused(f"{path} is no TUF root: {error}", "take it from the controller, over a way you trust") from error
    return data


def parse_server(url: str, *, unsafe_plain_http: bool = False) -> str:
    """A server's URL without its last slash.

    Raises `Unusable` for anything but http(s)://host[:port][/path], `Refused` for plain HTTP beyond this machine,
    which would show the token and the secret to everyone on the way.
    """
    try:
        parts = urlsplit(url)
        port_fits = parts.port != 0
    except ValueError as error:
        raise Unusable(f"not a server: {error}", "write https://host[:port]") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits or not _is_plain(url):
        raise Unusable(f"not a server: {url!r}", "write https://host[:port]")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Unusable("a server's URL holds no user, password, query or fragment", "write https://host[:port]")
    if parts.scheme == "http" and not unsafe_plain_http and not _is_this_machine(parts.hostname):
        raise Refused(f"{parts.hostname} would be called over plain HTTP", "use https, or --unsafe-plain-http")
    return url.rstrip("/")


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
