"""Packages over HTTP: whole, in one range or in several (RFC 9110, 14), under a strong ETag."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from muster.serve.ddi.answers import DdiError

MD5SUM: Final = ".MD5SUM"
MOST_RANGES: Final = 100
_RANGE: Final = r"[ \t]*(?:\d{1,18}-\d{0,18}|-\d{1,18})[ \t]*"
_RANGES: Final = re.compile(rf"bytes={_RANGE}(?:,{_RANGE})*", re.ASCII)


def package_response(request: Request, path: Path, file: dict[str, Any]) -> Response:
    """The package as the request wants it. Raises `DdiError`, 412 or 416."""
    etag = file["sha1"]
    matches = request.headers.get("if-match")
    if matches is not None and matches.strip() != "*" and etag not in [_bare(tag) for tag in matches.split(",")]:
        raise DdiError(412, "the package is another one")
    wanted = request.headers.get("range")
    if wanted is not None and not is_satisfiable(wanted, file["size"]):
        raise DdiError(416, "no such range", headers={"Content-Range": f"bytes */{file['size']}"})
    headers = {"ETag": f'"{etag}"', "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream", filename=file["filename"])


def md5sum_response(file: dict[str, Any]) -> Response:
    """A line as md5sum(1) writes it, without its end."""
    name = file["filename"]
    headers = {"Content-Disposition": f'attachment;filename="{name}{MD5SUM}"'}
    return PlainTextResponse(f"{file['md5']}  {name}", headers=headers)


def is_satisfiable(wanted: str, size: int) -> bool:
    """True if every range that is asked for begins within `size` bytes, and none ends before it begins."""
    if not _RANGES.fullmatch(wanted) or wanted.count(",") >= MOST_RANGES:
        return False
    for part in wanted.removeprefix("bytes=").split(","):
        first, _, last = part.strip().partition("-")
        if not first and int(last) == 0:
            return False
        if first and (int(first) >= size or (last and int(last) < int(first))):
            return False
    return size > 0


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')
