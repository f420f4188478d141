"""Making a package: derive, sign, seal."""

from __future__ import annotations

from collections.abc import Mapping

from muster.attest.evidence import sign_evidence
from muster.attest.package.archive import pack
from muster.attest.package.contents import ABOUT, Contents
from muster.attest.package.derive import ReadApprovals, derive
from muster.attest.package.seal import SEAL, seal
from muster.kinds.digest import digest_of


def export_package(primary: Mapping[str, bytes], private_key_pem: bytes, read_approvals: ReadApprovals) -> bytes:
    """The archive of a package with these primary members. The same input gives the same bytes.

    Raises `Refused` for members that are not sound or too much, `Unusable` for anything but an EC P-256 key.
    """
    contents = Contents(primary)
    derived = derive(contents, read_approvals)
    signed = {
        name: sign_evidence(claim.subjects, claim.predicate_type, claim.predicate, private_key_pem)
        for name, claim in derived.claims.items()
    }
    members = {**primary, **derived.documents, **signed}
    about = {"release": contents.about.release, "description": digest_of(primary[ABOUT])}
    return pack({**members, SEAL: seal(members, about, private_key_pem)})
