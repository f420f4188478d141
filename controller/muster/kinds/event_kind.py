"""What the ledger can say: one table of events, from which the code, the documents and `muster events` take theirs.

An event is stored under its `name`; people and alerts read its `reason`. A name that is not in the table cannot enter
the ledger. Signing a checkpoint is the one use of a key that is no event: the checkpoint itself, which is pushed, names
the key, and an event about it would ask for the next checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

About = Literal[
    "decision",
    "preparation",
    "publication",
    "commit",
    "approval",
    "suspension",
    "alert",
    "key-use",
    "device",
    "capture",
]
ABOUT: Final[tuple[About, ...]] = get_args(About)


@dataclass(frozen=True)
class EventKind:
    """One kind of event: what it is about, its reason, the fields that its body always has, and what it means."""

    name: str
    reason: str
    about: About
    fields: tuple[str, ...]
    meaning: str


_TABLE: Final = (
    EventKind(
        "declared",
        "CommitDeclared",
        "commit",
        ("commit", "previous"),
        "the controller works from this commit from here on",
    ),
    EventKind(
        "declaration-refused",
        "CommitRefused",
        "commit",
        ("commit", "reason"),
        "the newest commit does not pass the checks; the last valid one stays in force",
    ),
    EventKind(
        "approval-seen",
        "ApprovalSeen",
        "approval",
        ("commit", "by", "of", "at", "note"),
        "a signed approval of a commit that came in with the newly declared one; `note` is the digest of the git note "
        "that it stands in",
    ),
    EventKind(
        "prepared",
        "ArtifactPrepared",
        "preparation",
        ("release", "pins"),
        "an artifact was rebuilt from its pins, and the bytes are those pinned",
    ),
    EventKind(
        "not-prepared",
        "ArtifactNotPrepared",
        "preparation",
        ("release", "pins", "reason"),
        "a rebuild differs from the pins, or could not be made",
    ),
    EventKind(
        "decided",
        "VerdictChanged",
        "decision",
        ("subject", "outcome", "before", "commit", "record"),
        "a guardrail came to another verdict than before; `record` has the numbers",
    ),
    EventKind(
        "published",
        "GenerationPublished",
        "publication",
        ("generation", "commit", "documents"),
        "devices can fetch this generation",
    ),
    EventKind(
        "suspended",
        "ReleaseSuspended",
        "suspension",
        ("release", "reason"),
        "no further device is given the release; those that have it return",
    ),
    EventKind(
        "lifted",
        "SuspensionLifted",
        "suspension",
        ("release", "reason"),
        "the suspension is over: git says the same",
    ),
    EventKind(
        "resumed",
        "ReleaseResumed",
        "suspension",
        ("release", "reason"),
        "a person took a suspension back before git said the same",
    ),
    EventKind(
        "lapsed",
        "SuspensionLapsed",
        "suspension",
        ("release", "reason"),
        "a suspension that a person made for a time is over; the release is offered again, under a new generation",
    ),
    EventKind(
        "drifted",
        "DeviceDrifted",
        "decision",
        ("deviceClass", "model", "field"),
        "devices run what git never declared for them",
    ),
    EventKind(
        "drift-ended",
        "DriftEnded",
        "decision",
        ("deviceClass", "model", "field"),
        "no device of that place runs it any longer",
    ),
    EventKind(
        "reverted",
        "RevertCommitted",
        "commit",
        ("release", "commit", "reason"),
        "the revert of a suspended release is on the branch",
    ),
    EventKind(
        "advanced",
        "ReleaseAdvanced",
        "commit",
        ("release", "commit", "cohort", "before", "after", "verdicts"),
        "the controller committed the next step of a rollout; `verdicts` have the numbers",
    ),
    EventKind(
        "proposed",
        "ChangeProposed",
        "commit",
        ("release", "what", "branch", "reference", "commit", "reason"),
        "an advance or a revert stands on a branch of the controller's, for people to merge",
    ),
    EventKind(
        "proposal-ended",
        "ProposalEnded",
        "commit",
        ("release", "branch", "reference", "reason"),
        "what was proposed was merged, or the controller took it back",
    ),
    EventKind(
        "key-used",
        "KeyUsed",
        "key-use",
        ("key", "role", "subject", "signed"),
        "a private key of the controller signs something; `key` is the id of its public half, `signed` the digest of "
        "what is signed (of the signature, for artifacts)",
    ),
    EventKind(
        "device-registered",
        "DeviceRegistered",
        "device",
        ("deviceId", "deviceClass", "by", "reason"),
        "a person lets a device in that is yet to come, or that was revoked before",
    ),
    EventKind(
        "device-accepted",
        "DeviceAccepted",
        "device",
        ("deviceId", "deviceClass", "by", "reason"),
        "a person accepted a device that waited",
    ),
    EventKind(
        "device-labelled",
        "DeviceLabelled",
        "device",
        ("deviceId", "labels", "before", "by", "reason"),
        "a person set labels of a device (or, where null, took back what a person had set)",
    ),
    EventKind(
        "device-revoked",
        "DeviceRevoked",
        "device",
        ("deviceId", "deviceClass", "by", "reason"),
        "the secret of a device is worth nothing from here on; what it showed stays counted",
    ),
    EventKind(
        "alerted",
        "AlertRaised",
        "alert",
        ("alert", "key"),
        "people are to be told; written with what they are told of",
    ),
    EventKind(
        "alert-delivered",
        "AlertDelivered",
        "alert",
        ("key", "channel", "release"),
        "a channel took an alert",
    ),
    EventKind(
        "alert-given-up",
        "AlertGivenUp",
        "alert",
        ("key", "channel", "reason", "release"),
        "every attempt to give an alert to a channel failed; it lies on the dead-letter list",
    ),
    EventKind(
        "captures-erased",
        "CapturesErased",
        "capture",
        ("purpose", "by", "count"),
        "samples under a purpose are gone from the server: consent was withdrawn on a device (`device`), their time "
        "was over (`retention`), or a person said so",
    ),
)
EVENT_KINDS: Final[Mapping[str, EventKind]] = {kind.name: kind for kind in _TABLE}
REASONS: Final[Mapping[str, str]] = {kind.reason: kind.name for kind in _TABLE}


@dataclass(frozen=True)
class Named:
    """What a body names: releases (`<model>/<version>`), models, artifacts (digests), commits."""

    releases: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    artifacts: frozenset[str] = frozenset()
    commits: frozenset[str] = frozenset()

    def concerns(self, of: str) -> bool:
        """True for a model or a release that is named, or that a named release is one of."""
        return of in self.models or any(name == of or name.startswith(f"{of}/") for name in self.releases)


_Found = Iterator[tuple[str, Any]]


def _entries(documents: Any) -> _Found:
    listed = documents.values() if isinstance(documents, Mapping) else ()
    for entry in (one for entries in listed if isinstance(entries, list) for one in entries):
        yield from _within(entry)


def _within(body: Any) -> _Found:
    if isinstance(body, Mapping):
        yield from (("releases", body.get("release")), ("artifacts", body.get("artifact")))


NAMING: Final[Mapping[str, Callable[[Any], Iterable[tuple[str, Any]]]]] = {
    "release": lambda value: [("releases", value)],
    "subject": lambda value: [("releases", value)],
    "artifact": lambda value: [("artifacts", value)],
    "model": lambda value: [("models", value)],
    "commit": lambda value: [("commits", value)],
    "record": _within,
    "alert": _within,
    "documents": _entries,
}
"""Fields by which a body says what it concerns. Every kind has one, or no package of a release would hold it."""


def named_in(body: Mapping[str, Any]) -> Named:
    """What an event concerns, by its body; also of a version that knows other kinds."""
    found: dict[str, set[str]] = {}
    for name, read in NAMING.items():
        for what, value in read(body[name]) if name in body else ():
            if isinstance(value, str):
                found.setdefault(what, set()).add(value)
    return Named(**{what: frozenset(values) for what, values in found.items()})


def reason_of(event: str) -> str:
    """The reason of a stored event; the name itself where a newer version wrote one that this one does not know."""
    kind = EVENT_KINDS.get(event)
    return kind.reason if kind else event


def missing_fields(event: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields that an event of its kind has and this one does not. Raises `ValueError` for a name that is no event's."""
    if event not in EVENT_KINDS:
        raise ValueError(f"{event} is no event: add it to the table")
    return tuple(name for name in EVENT_KINDS[event].fields if name not in body)
