"""Static desired state: what any web server, object store or CDN could hand out as well."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

from muster.serve.operations import Answer, Operation

_DIGEST_NAMED = re.compile(r"([0-9a-f]{64})\.")
_FOR_EVER = "public, max-age=31536000, immutable"


def file_headers(path: str) -> dict[str, str]:
    """What is said of a published file besides its length and time: of a target its digest as its tag, for ever."""
    found = _DIGEST_NAMED.match(Path(path).name)
    return {"etag": f'"sha256:{found[1]}"', "cache-control": _FOR_EVER} if found else {}


class PublishedFiles(StaticFiles):
    """What devices fetch: TUF metadata and targets.

    A target lies under its digest, which is its strong validator: on every replica the same, also after a restore. It
    never changes, and says so to caches.
    """

    operation = Operation(
        "A published file: TUF metadata, or a target under its digest",
        {
            200: Answer("The file.", None, "*/*"),
            206: Answer("The ranges that were asked for.", None, "*/*"),
            304: Answer("The file is the one that If-None-Match names."),
        },
        path={"path": Annotated[str, Field(min_length=1, max_length=512)]},
        refusals=(400, 404, 416),
    )

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, with its digest as its tag if that is its name."""
        headers = file_headers(os.fspath(full_path)) if status_code == 200 else None
        if not headers:
            return super().file_response(full_path, stat_result, scope, status_code)
        response = FileResponse(full_path, status_code, headers, stat_result=stat_result)
        same = self.is_not_modified(response.headers, Headers(scope=scope))
        return NotModifiedResponse(response.headers) if same else response
