"""What the owner of the application decides: consent, by purpose, for `muster agent consent` and as library calls."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from muster.agent.capture.consent import give, read_consent, withdraw
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import sweep, waiting
from muster.agent.capture.terms import read_terms
from muster.agent.folder import DeviceFolder
from muster.agent.identity import read_identity
from muster.kinds.digest import Name
from muster.kinds.errors import TryAgain, Unusable

_name: TypeAdapter[str] = TypeAdapter(Name)


def choose(folder: DeviceFolder, purpose: str, *, given: bool) -> None:
    """Consent to a purpose, or withdraw it, which erases what waits under it before this returns.

    Raises `Unusable` (no purpose, no device), `Refused`, `TryAgain` (the disk; repeat the call).
    """
    read_identity(folder)
    try:
        _name.validate_python(purpose)
    except ValidationError as error:
        raise Unusable(
            f"{purpose!r} is no purpose", "purposes are names: lower-case letters, digits, hyphens"
        ) from error
    place = CapturePlace.of(folder)
    with place.held():
        if given:
            give(place, purpose)
            return
        consent = withdraw(place, purpose)
        try:
            sweep(place, consent, read_terms(place), datetime.now(UTC))
        except OSError as error:
            raise TryAgain(f"samples could not be erased: {error.strerror}", "withdraw once more") from error


def overview(folder: DeviceFolder) -> list[dict[str, Any]]:
    """Every purpose that is declared, or that somebody decided on."""
    read_identity(folder)
    place = CapturePlace.of(folder)
    consent, terms = read_consent(place), read_terms(place)
    counts = Counter((one.envelope.record.purpose, one.envelope.record.model) for one in waiting(place))
    declared: dict[tuple[str, str | None], str | None] = {
        (terms.purpose, model): terms.statement for model, captures in terms.models.items() for terms in captures
    }
    others = {*consent.given, *consent.withdrawn} - {purpose for purpose, _ in declared}
    return [
        {
            "purpose": purpose,
            "model": model,
            "consent": purpose in consent.given,
            "waiting": counts[purpose, model or ""],
            "toBeErased": purpose in consent.withdrawn,
            "statement": statement,
        }
        for (purpose, model), statement in sorted(
            (declared | dict.fromkeys(((purpose, None) for purpose in others))).items(), key=lambda item: item[0][0]
        )
    ]
