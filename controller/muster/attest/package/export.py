"""Making a package: derive, sign, seal."""

from __future__ import annotations

from collections.abc import Mapping

from muster.attest.dsse import SignPayload
from muster.attest.evidence import sign_evidence
from muster.attest.keys import new_private_key
from muster.attest.package.archive import pack
from muster.attest.package.contents import ABOUT, Contents
from muster.attest.package.derive import ReadApprovals, derive
from muster.attest.package.seal import SEAL, seal
from muster.attest.package.voucher import VOUCHER, vouch
from muster.kinds.digest import digest_of


def export_package(primary: Mapping[str, bytes], signer: bytes | SignPayload, read_approvals: ReadApprovals) -> bytes:
    """The archive of a package with these primary members. With a private key, the same input gives the same bytes.

    Raises `Refused` for members that are not sound or too much, `Unusable` for anything but an EC P-256 key,
    and whatever another signer raises.
    """
    contents = Contents(primary)
    key = signer if isinstance(signer, bytes) else new_private_key()
    derived = derive(contents, read_approvals)
    signed = {
        name: sign_evidence(claim.subjects, claim.predicate_type, claim.predicate, key)
        for name, claim in derived.claims.items()
    }
    about = {"release": contents.about.release, "description": digest_of(primary[ABOUT])}
    vouched = {} if isinstance(signer, bytes) else {VOUCHER: vouch(key, about, signer)}
    members = {**primary, **derived.documents, **signed, **vouched}
    return pack({**members, SEAL: seal(members, about, key)})
