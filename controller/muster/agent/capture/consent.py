"""Consent: given and withdrawn by the owner of the application, by purpose, in the device's own folder.

Each consent has a number of its own. What was taken under one is not kept under another, so that who withdraws and
consents again begins with nothing. A file that cannot be read is no consent. One write says both that a purpose is
withdrawn and that the server has to hear of it, so that neither can be lost without the other.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError

from muster.agent.capture.place import CapturePlace
from muster.agent.folder import read_bounded
from muster.artifacts.durable import write_durably
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import Name
from muster.kinds.errors import Refused, Unusable
from muster.kinds.resource import Declared

MOST_CONSENTS = 64
_LIMIT = 64 * 1024

Number = Annotated[int, Field(ge=1, le=2**53 - 1)]
_Numbers = Annotated[dict[Name, Number], Field(max_length=2 * MOST_CONSENTS)]


class Consent(Declared):
    """`given`: purpose → number of the consent. `withdrawn`: purpose → number of what the server must erase."""

    given: _Numbers = Field(default_factory=dict)
    withdrawn: _Numbers = Field(default_factory=dict)
    next: Number = 1


def read_consent(place: CapturePlace) -> Consent:
    """What holds now; nothing, if the file is missing or damaged."""
    try:
        return Consent.model_validate_json(read_bounded(place.consent, _LIMIT))
    except (Unusable, ValidationError):
        return Consent()


def give(place: CapturePlace, purpose: str) -> Consent:
    """Consent to a purpose. Giving it again changes nothing. Call while the place is held.

    Raises `Refused` for more purposes than are kept, `TryAgain` if the disk refuses.
    """
    consent = read_consent(place)
    if purpose in consent.given:
        return consent
    if len(consent.given) >= MOST_CONSENTS:
        raise Refused(f"{MOST_CONSENTS} purposes are consented to already", "withdraw one first")
    return _write(
        place,
        consent.model_copy(
            update={"given": {**consent.given, purpose: consent.next}, "next": consent.next + 1},
        ),
    )


def withdraw(place: CapturePlace, purpose: str) -> Consent:
    """Withdraw a purpose, whether it was given or not: the server is asked to erase all the same.

    Call while the place is held, and sweep the queue before letting go. Raises `TryAgain` if the disk refuses.
    """
    consent = read_consent(place)
    # The oldest withdrawals of purposes that nobody declares any longer make room: the server keeps nothing for ever.
    withdrawn = dict(sorted({**consent.withdrawn, purpose: consent.next}.items(), key=lambda item: item[1]))
    withdrawn = dict(list(withdrawn.items())[-MOST_CONSENTS:])
    given = {name: number for name, number in consent.given.items() if name != purpose}
    return _write(place, consent.model_copy(update={"given": given, "withdrawn": withdrawn, "next": consent.next + 1}))


def heard(place: CapturePlace, purpose: str, number: int) -> Consent:
    """The server erased what this withdrawal is about; a later one of the same purpose stands. Call while held."""
    consent = read_consent(place)
    if consent.withdrawn.get(purpose) != number:
        return consent
    withdrawn = {name: other for name, other in consent.withdrawn.items() if name != purpose}
    return _write(place, consent.model_copy(update={"withdrawn": withdrawn}))


def _write(place: CapturePlace, consent: Consent) -> Consent:
    write_durably(place.consent, canonical_json(consent.model_dump(mode="json")), 0o600, place.disk)
    return consent
