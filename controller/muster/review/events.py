"""Events as people and programs read them: with a reason, what they are about, and one line of what they say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from muster.kinds.event_kind import EVENT_KINDS, named_in, reason_of

_LONGEST = 300


@dataclass(frozen=True)
class Filter:
    """Which events are wanted: each empty part means any. `of` is a model or a release; times include `since`."""

    reasons: Collection[str] = ()
    about: Collection[str] = ()
    of: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, event: Mapping[str, Any]) -> bool:
        """True for an event, as `shown` gives it, that is wanted."""
        at = datetime.fromisoformat(event["at"])
        return (
            (not self.reasons or event["reason"] in self.reasons)
            and (not self.about or event["about"] in self.about)
            and (self.of is None or concerns(event["body"], self.of))
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ledger as it is printed."""
    kind = EVENT_KINDS.get(row["event"])
    return {
        "sequence": row["sequence"],
        "at": str(row["at"]),
        "reason": reason_of(row["event"]),
        "about": kind.about if kind else None,
        "event": row["event"],
        "summary": summary(row["event"], row["body"]),
        "body": row["body"],
        "digest": row["digest"],
    }


_OF_A_FIELD = "{field} of {model} on {deviceClass}"
_OF_A_DEVICE = "{deviceId}, by {by}: {reason}"
_LINES: Final[Mapping[str, str]] = {
    "drifted": _OF_A_FIELD,
    "drift-ended": _OF_A_FIELD,
    "device-registered": _OF_A_DEVICE,
    "device-accepted": _OF_A_DEVICE,
    "device-labelled": _OF_A_DEVICE,
    "device-revoked": _OF_A_DEVICE,
    "captures-erased": "{count} under {purpose}, by {by}",
    "key-used": "{role} key signs {subject}",
}


def summary(event: str, body: Mapping[str, Any]) -> str:
    """One line."""
    match event:
        case "published":
            text = f"generation {body.get('generation')}; {_offers(body.get('documents'))}"
        case "declared":
            text = f"commit {_short(body.get('commit'))}, before it {_short(body.get('previous'))}"
        case "approval-seen":
            text = f"{body.get('by')} approved {body.get('of') or 'the change'} on {_short(body.get('commit'))}"
        case "decided":
            text = f"{body.get('subject')}: {body.get('before') or 'undecided'} → {body.get('outcome')}"
        case "advanced":
            text = f"{_subject(body)}: {body.get('cohort')} {body.get('before')} → {body.get('after')}"
        case "proposed" | "proposal-ended":
            text = f"{_subject(body)}: {body.get('reference')}: {body.get('reason')}"
        case _ if event in _LINES:
            text = _LINES[event].format_map(defaultdict(lambda: None, body))
        case _:
            text = f"{_subject(body)}" + (f": {body['reason']}" if body.get("reason") else "")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_LONGEST]


def concerns(body: Mapping[str, Any], of: str) -> bool:
    """True if an event is about a model, or about one release of it."""
    return named_in(body).concerns(of)


def _subject(body: Mapping[str, Any]) -> str:
    named = (body.get(name) for name in ("release", "subject", "alert", "key", "commit", "artifact"))
    return str(next((name for name in named if name and not isinstance(name, Mapping)), ""))


def _offers(documents: Any) -> str:
    if not isinstance(documents, dict):
        return ""
    listed = (
        (key, ", ".join(str(entry["release"]).partition("/")[2] for entry in documents[key])) for key in documents
    )
    return "; ".join(f"{key}: {versions or 'nothing'}" for key, versions in sorted(listed))


def _short(commit: Any) -> str:
    return str(commit)[:12] if commit else "none"
