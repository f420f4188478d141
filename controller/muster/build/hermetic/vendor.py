"""A wheelhouse: the wheels of a lock as files, each compared with its hash, to install from without a network.

Where a wheel lies is asked of the registry by uv (`uv pip compile --format pylock.toml`, PEP 751), which knows its
address and credentials; what comes from there is kept only if its digest stands in the lock.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from muster.artifacts.durable import write_durably
from muster.build.hermetic.lock import BuilderLock, plain_name
from muster.build.hermetic.uv_program import call_uv
from muster.kinds.errors import Refused, TryAgain, Unusable

MAX_WHEEL: Final = 2**30
_SECONDS: Final = 120
_FILE = re.compile(r"[A-Za-z0-9_.+!-]{1,250}\.whl")


@dataclass(frozen=True)
class Wheel:
    """A file of the wheelhouse. `fetched`: it was not there."""

    name: str
    sha256: str
    fetched: bool


@dataclass(frozen=True)
class _Offer:
    package: str
    name: str
    sha256: str
    url: str


def vendor(lock: BuilderLock, folder: Path, *, every_platform: bool = False) -> tuple[Wheel, ...]:
    """Put the lock's wheels into `folder`: those that fit this machine and the lock's Python, or every one.

    Raises `Refused` for a file that is not the locked one, `Unusable` if a package has no wheel for this machine,
    `TryAgain` if the registry does not answer.
    """
    offers = [offer for offer in _offers(lock) if offer.sha256 in lock.hashes]
    chosen = offers if every_platform else _fitting(offers, lock)
    if missing := sorted(set(lock.packages) - {offer.package for offer in chosen}):
        raise Unusable(
            f"no wheel of the lock fits this machine and Python {lock.python}: {', '.join(missing)}",
            "vendor where it is to be built, or every wheel: --every-platform",
        )
    return tuple(_keep(offer, folder) for offer in sorted(chosen, key=lambda offer: offer.name))


def _offers(lock: BuilderLock) -> Iterable[_Offer]:
    with tempfile.TemporaryDirectory(prefix="muster-vendor-") as name:
        folder = Path(name)
        (folder / "builder.txt").write_bytes(lock.data)
        call_uv(
            ["pip", "compile", "--no-deps", "--universal", "--python-version", lock.python, "--generate-hashes",
             "--format", "pylock.toml", "builder.txt", "-o", "pylock.toml"],
            folder,
        )  # fmt: skip
        listed = tomllib.loads((folder / "pylock.toml").read_text())
    for package in listed.get("packages", ()):
        for wheel in package.get("wheels", ()):
            yield _offer(plain_name(package["name"]), wheel)


def _offer(package: str, wheel: dict[str, Any]) -> _Offer:
    url = wheel.get("url") or Path(wheel["path"]).absolute().as_uri()
    # The name becomes a file's: what the registry says of it is not trusted further than that.
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not _FILE.fullmatch(name):
        raise Refused(f"the registry names a wheel {name[:80]!r}", "look at the registry that uv asks")
    return _Offer(package, name, wheel["hashes"]["sha256"], url)


def _fitting(offers: Iterable[_Offer], lock: BuilderLock) -> list[_Offer]:
    """Of each package the one wheel that an installer would take here: the first of the tags in their order."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import parse_wheel_filename

    major, _, minor = lock.python.partition(".")
    version = int(major), int(minor)
    tags = [*cpython_tags(version), *compatible_tags(version, f"cp{major}{minor}")]
    rank = {tag: place for place, tag in reversed(list(enumerate(tags)))}
    best: dict[str, tuple[int, _Offer]] = {}
    for offer in offers:
        places = [rank[tag] for tag in parse_wheel_filename(offer.name)[3] if tag in rank]
        if places and (offer.package not in best or min(places) < best[offer.package][0]):
            best[offer.package] = min(places), offer
    return [offer for _, offer in best.values()]


def _keep(offer: _Offer, folder: Path) -> Wheel:
    path = folder / offer.name
    if path.is_file() and _sha256(path) == offer.sha256:
        return Wheel(offer.name, offer.sha256, fetched=False)
    data = _fetch(offer.url)
    if hashlib.sha256(data).hexdigest() != offer.sha256:
        raise Refused(f"{offer.name} is not the wheel that the lock names", "look at the registry that uv asks")
    write_durably(path, data)
    return Wheel(offer.name, offer.sha256, fetched=True)


def _fetch(url: str) -> bytes:
    if urlsplit(url).scheme == "file":
        return Path(unquote(urlsplit(url).path)).read_bytes()
    import httpx

    parts, size = [], 0
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_SECONDS) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                size += len(part)
                if size > MAX_WHEEL:
                    raise Refused(f"a wheel of more than {MAX_WHEEL} bytes", "look at the registry that uv asks")
                parts.append(part)
    except httpx.HTTPError as error:
        raise TryAgain(f"a wheel cannot be fetched: {error}", "try again: what was fetched is kept") from error
    return b"".join(parts)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
