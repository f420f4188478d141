"""Resource descriptors: how an in-toto statement names something beside its subjects.

Format: in-toto attestation framework, `spec/v1/resource_descriptor.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from muster.kinds.digest import hex_of

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"


def file_descriptor(path: str, digest: str, **annotations: str) -> dict[str, Any]:
    """A file by its path in the repository and its digest; `annotations` say what else is known of it."""
    return {"name": path, "digest": {"sha256": hex_of(digest)}, **({"annotations": annotations} if annotations else {})}


def evidence_descriptor(path: str, digest: str) -> dict[str, Any]:
    """A signed evidence file."""
    return {**file_descriptor(path, digest), "mediaType": BUNDLE}


def policy_descriptors(files: Mapping[str, str], **annotations: str) -> list[dict[str, Any]]:
    """Policy files {path: digest} in the order of their paths."""
    return [file_descriptor(path, files[path], **annotations) for path in sorted(files)]
