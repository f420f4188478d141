"""Verifying a package with nothing but the archive and a trust root: no repository, no network, no clock.

First the seal: what is not sealed by the trust root is not read. Then, each with its own answer: that the commit holds
the files (git's own hashes), that evidence and statements are signed by keys that count, that statements say what
follows from the rest, and that every document is what anybody would derive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from muster import __version__
from muster.attest.dsse import open_bundle
from muster.attest.evidence import read_evidence, read_statement, statement_payload
from muster.attest.figures import rebuild_of
from muster.attest.keys import key_id
from muster.attest.package.archive import unpack
from muster.attest.package.contents import ABOUT, ADMITTED, LEDGER, OBJECTS, TREE, Contents
from muster.attest.package.derive import STATEMENTS, Claim, Derived, ReadApprovals, approvals, derive, waivers_of
from muster.attest.package.git_objects import framed, object_id
from muster.attest.package.ledger_rows import Row, gaps, read_rows
from muster.attest.package.reviews import REVIEWS, read_reviews
from muster.attest.package.seal import SEAL, unseal
from muster.attest.package.trust_root import TrustRoot
from muster.attest.package.voucher import VOUCHER, vouched_key
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError, Refused, Unusable
from muster.kinds.evidence import ADMISSION, PROVENANCE
from muster.kinds.signing_key import SigningKey

MADE_BY = f"muster {__version__}"
_HINT = "export the package again with: muster evidence export"


@dataclass(frozen=True)
class Checked:
    """One answer: what was looked at, whether it holds, and what was found."""

    what: str
    holds: bool
    says: str


@dataclass(frozen=True)
class Verified:
    """`signer` sealed the package: the id of a key, or an identity of the trust root."""

    release: str
    artifact: str
    commit: str
    at: str
    signer: str
    checks: tuple[Checked, ...]

    @property
    def holds(self) -> bool:
        """True if every check holds."""
        return all(check.holds for check in self.checks)


def verify_package(archive: bytes, root: TrustRoot, read_approvals: ReadApprovals) -> Verified:
    """What becomes of a package. Raises `Refused` if it is no package, or the trust root did not seal it."""
    members = unpack(archive)
    keys, vouching = _sealing_keys(members, root)
    predicate, key = unseal(members, keys)
    signer = vouching.get(key, key)
    contents = Contents(members)
    about = contents.about
    if predicate.get("release") != about.release:
        raise Refused("the seal is about another release", _HINT)
    derived: list[Derived] = []
    checks: dict[str, Callable[[], str]] = {
        "seal": lambda: f"{len(members)} members, sealed by {signer}",
        "commit": lambda: _commit(contents),
        "history": lambda: _history(contents),
        "evidence": lambda: _evidence(contents, root),
        "provenance": lambda: _provenance(contents),
        "rebuilds": lambda: _rebuilds(contents),
        "waivers": lambda: _waivers(contents),
        "approvals": lambda: _approvals(contents, root, read_approvals),
        "reviews": lambda: _reviews(contents),
        "ledger": lambda: _ledger(contents),
        "admission": lambda: _admission(contents, root),
        "documents": lambda: _documents(contents, derived, read_approvals),
        "statements": lambda: _statements(contents, derived, keys),
    }
    answers = tuple(_answer(what, check) for what, check in checks.items())
    return Verified(about.release, about.artifact, about.commit, about.at, signer, answers)


def _sealing_keys(members: Mapping[str, bytes], root: TrustRoot) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """{key id: public PEM} of whoever may seal this package, and {key id: identity that vouches for it}."""
    if VOUCHER not in members:
        return root.keys, {}
    contents = Contents(members)
    about = {"release": contents.about.release, "description": digest_of(members[ABOUT])}
    key, pem, identity = vouched_key(members[VOUCHER], about, root.keyless)
    return {**root.keys, key: pem}, {key: identity}


def not_older(found: Verified, now: datetime, most: timedelta) -> Checked:
    """Whether what the package tells is fresh enough for its reader; a verifier without a clock leaves this out."""
    age = now - datetime.fromisoformat(found.at)
    holds = timedelta(0) <= age <= most
    return Checked(
        "age", holds, f"as of {found.at}, {age} ago" if age >= timedelta(0) else f"as of {found.at}, to come"
    )


def _answer(what: str, check: Callable[[], str]) -> Checked:
    try:
        return Checked(what, holds=True, says=check())
    except MusterError as error:
        return Checked(what, holds=False, says=error.message)


def _commit(contents: Contents) -> str:
    """Every file below `tree/` is that file in the commit, by git's hashes; and none of them was left out."""
    commit = contents.about.commit
    for path, data in contents.files.items():
        if contents.objects.file(commit, path) != object_id(framed("blob", data), len(commit)):
            raise Refused(f"commit {commit} holds another {path}", _HINT)
    if contents.release.path not in contents.files:
        raise Refused(f"the package does not hold {contents.release.path}", _HINT)
    if missing := contents.missing:
        raise Refused(f"commit {commit} holds {missing[0]}, which was left out of the package", _HINT)
    pinned = contents.release.spec.builder.lock if contents.lock else ""
    return f"{commit} declares {contents.release.name}; {len(contents.files)} files, {pinned} as pinned"


def _history(contents: Contents) -> str:
    """Every object is the one that its name says; every commit of the history led to the package's own."""
    for name in contents.under(OBJECTS):
        data = contents.member(OBJECTS + name)
        if object_id(data, len(name)) != name:
            raise Refused(f"{name} is not the git object that it is called", _HINT)
    came_before = contents.objects.ancestors(contents.about.commit)
    for commit in contents.about.history:
        contents.objects.file(commit, contents.release.path)
        if commit not in came_before:
            raise Refused(f"nothing shows that {commit} came before {contents.about.commit}", _HINT)
    return f"{len(contents.about.history)} commits"


def _evidence(contents: Contents, root: TrustRoot) -> str:
    """Evidence that is believed is signed by a key that counts; what is not believed is said to be so."""
    declared = {key.metadata.name: key for key in contents.fleet.signing_keys}
    believed = [item for item in contents.evidence if item.problem is None]
    identities = {one.signer for one in contents.fleet.identities}
    for item in believed if root.whole else ():
        if item.signer in identities:
            # A certificate is worth what the trusted root is worth that it is judged by: here the reader's own.
            held = read_evidence(item.path, contents.files[item.path], (), root.keyless).problem is None
        else:
            held = key_id(declared[item.signer or ""].spec.public_key) in root.keys
        if not held:
            raise Refused(f"{item.path} is signed by {item.signer}, which the trust root does not hold", _HINT)
    odd = [f"{item.path} ({item.problem_kind})" for item in contents.evidence if item.problem is not None]
    told = f"; not believed, and counted for nothing: {', '.join(odd)}" if odd else ""
    return f"{len(believed)} files believed{told}"


def _provenance(contents: Contents) -> str:
    """Whose word it is that says how the artifact was built; the gates judge whether that is enough."""
    believed = [item for item in contents.evidence if item.problem is None and not item.made_again]
    found = [item for item in believed if item.predicate_type == PROVENANCE]
    return ", ".join(f"{item.path.rpartition('/')[2]} by {item.signer}" for item in found) or "absent"


def _rebuilds(contents: Contents) -> str:
    """Whose verdicts there are; what they come to the gates judge."""
    found = [(item.signer, rebuilt) for item in contents.evidence if (rebuilt := rebuild_of(item)) is not None]
    return ", ".join(f"{one.verdict} at {one.level} on {one.cpu} by {signer}" for signer, one in found) or "absent"


def _waivers(contents: Contents) -> str:
    found = waivers_of(contents)
    return ", ".join(f"{one.metadata.name} of {one.spec.gate} until {one.spec.expires}" for one in found) or "none"


def _approvals(contents: Contents, root: TrustRoot, read_approvals: ReadApprovals) -> str:
    """Approvals by keys that count. Who sealed the package also chose the commit, and so the people in it."""
    keys = contents.fleet.signing_keys
    found = approvals(contents, read_approvals, keys)
    if root.whole:
        held = approvals(contents, read_approvals, [key for key in keys if _is_one_of(key, root.approvals)])
        if odd := [one for one in found if one not in held]:
            raise Refused(f"{odd[0].by} approved with a key that the trust root does not hold", _HINT)
    return f"{len(found)} signed approvals"


def _is_one_of(key: SigningKey, held: Collection[str]) -> bool:
    try:
        return key_id(key.spec.public_key) in held
    except Unusable:
        return False


def _reviews(contents: Contents) -> str:
    """What a forge told whoever sealed the package, and for how much of it the history speaks."""
    if REVIEWS not in contents.members:
        return "no forge was asked when the package was made"
    requests = read_reviews(contents.member(REVIEWS))
    told = [one for request in requests for one in request.approvals if one.by != request.author]
    merged = sum(one.commit in contents.about.history for one in told)
    by = ", ".join(sorted({request.forge for request in requests}))
    return f"{len(told)} approvals in {len(requests)} pull requests, {merged} of commits of the history; as {by} told"


def _ledger(contents: Contents) -> str:
    if LEDGER not in contents.members:
        return "no ledger was at hand when the package was made"
    rows = read_rows(contents.member(LEDGER))
    return f"{len(rows)} events, {gaps(rows)} gaps of other releases' events"


def _admission(contents: Contents, root: TrustRoot) -> str:
    """The controller's word is signed by a key that counts for artifacts, and is the one in the ledger."""
    if ADMITTED not in contents.members:
        return "no controller's word was at hand when the package was made"
    data = contents.member(ADMITTED)
    declared = contents.fleet.keys_for("artifacts")
    trusted = [key for key in declared if not root.whole or _is_one_of(key, root.artifacts)]
    keys = {key_id(key.spec.public_key): key.spec.public_key for key in trusted}
    payload, signer = open_bundle(data, keys, _HINT)
    said = read_statement(payload)
    if said.predicate_type != ADMISSION or contents.about.artifact not in said.subjects:
        raise Refused("the controller's word is about something else", _HINT)
    told = [row.body.get("admission") for row in _rows(contents) if row.event == "prepared"]
    if told and digest_of(data) not in told:
        raise Refused("the ledger tells of another word of the controller", _HINT)
    return f"{', '.join(said.predicate.get('properties', []))} at {said.predicate.get('timeCreated')}, by {signer}"


def _rows(contents: Contents) -> tuple[Row, ...]:
    return read_rows(contents.member(LEDGER)) if LEDGER in contents.members else ()


def _documents(contents: Contents, derived: list[Derived], read_approvals: ReadApprovals) -> str:
    """Every document is what follows from the rest."""
    found = derive(contents, read_approvals)
    derived.append(found)
    for name, data in found.documents.items():
        if contents.member(name) != data:
            raise Refused(_otherwise(name, contents), _HINT)
    known = {*found.documents, *found.claims, SEAL, VOUCHER, ABOUT, LEDGER, ADMITTED, REVIEWS}
    folders = (TREE, OBJECTS, "notes/")
    odd = [name for name in contents.members if name not in known and not name.startswith(folders)]
    if odd:
        raise Refused(f"the package holds {odd[0]}, which belongs to no package", _HINT)
    return f"{len(found.documents)} documents, each derived again to the same bytes"


def _statements(contents: Contents, derived: list[Derived], keys: Mapping[str, str]) -> str:
    """Each statement is signed by who may seal, and says what follows from the rest."""
    if not derived:
        raise Refused("the statements could not be derived again", _HINT)
    claims = derived[0].claims
    names = [name for name in contents.members if name.startswith(STATEMENTS)]
    for name in names:
        payload, _ = open_bundle(contents.member(name), keys, _HINT)
        if name in claims and payload != _said(claims[name]):
            raise Refused(_otherwise(name, contents), _HINT)
    missing = sorted(set(claims) - set(names))
    if missing:
        raise Refused(f"the package holds no {missing[0]}", _HINT)
    return ", ".join(_result(claims)) or f"{len(names)} statements"


def _otherwise(name: str, contents: Contents) -> str:
    """Another version may tell the same otherwise: that is for itself to say, or a forger would name another one."""
    made_by = contents.about.made_by
    known = "" if made_by == MADE_BY else f"; this is {MADE_BY}, it was made by {made_by}: verify it with that one"
    return f"{name} does not say what follows from the rest of the package{known}"


def _said(claim: Claim) -> bytes:
    return statement_payload(claim.subjects, claim.predicate_type, claim.predicate)


def _result(claims: Mapping[str, Claim]) -> Iterator[str]:
    for name, claim in sorted(claims.items()):
        result = claim.predicate.get("result")
        yield name.removeprefix(STATEMENTS).removesuffix(".json") + (f" {result}" if result else "")
