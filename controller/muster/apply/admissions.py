"""Admissions: the controller's own word for an artifact, once it has built it from its pins and found the same bytes.

A Simple Verification Result per release and signing key, `<folder>/<key>/<artifact>.<pins>.json`, signed with the key
that signs artifacts. Written once: its digest stands in the ledger, and a release that is prepared again keeps it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from muster.artifacts.durable import write_durably
from muster.attest.evidence import sign_evidence
from muster.attest.keys import key_id, public_half
from muster.attest.statements.admission import REBUILT, admission
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.evidence import ADMISSION
from muster.kinds.release import Release


class Admissions:
    """The admissions of one controller."""

    def __init__(self, folder: Path, private_key_pem: bytes) -> None:
        self._private_key = private_key_pem
        self._folder = folder / hex_of(key_id(public_half(private_key_pem)))

    def admit(self, release: Release, now: datetime) -> str:
        """Say that the release was rebuilt from its pins; returns the digest of the statement.

        Raises `TryAgain` if the disk refuses.
        """
        path = self._folder / file_name(release)
        if not path.is_file():
            subjects = {release.name: release.spec.artifact.digest}
            said = admission([REBUILT], now)
            write_durably(path, sign_evidence(subjects, ADMISSION, said, self._private_key))
        return digest_of(path.read_bytes())


def file_name(release: Release) -> str:
    """The name of a release's admission, below the folder of whichever key signed it."""
    return f"{hex_of(release.spec.artifact.digest)}.{hex_of(release.pins)}.json"
