"""What is declared about capture, as the newest desired documents said it, for whoever takes samples on this device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError

from muster.agent.capture.place import CapturePlace
from muster.agent.folder import read_bounded
from muster.artifacts.durable import write_durably
from muster.kinds.canonical import canonical_json
from muster.kinds.capture import Capture, Captures
from muster.kinds.digest import Name
from muster.kinds.errors import Unusable
from muster.kinds.resource import Declared

_LIMIT = 2**22


class Terms(Declared):
    """By model."""

    models: Annotated[dict[Name, Captures], Field(max_length=64)] = Field(default_factory=dict)

    def of(self, model: str, purpose: str) -> Capture | None:
        """What is declared for one purpose of a model."""
        return next((capture for capture in self.models.get(model, ()) if capture.purpose == purpose), None)


def read_terms(place: CapturePlace) -> Terms:
    """What is declared; nothing, if the file is missing or damaged: the next document brings it again."""
    try:
        return Terms.model_validate_json(read_bounded(place.terms, _LIMIT))
    except (Unusable, ValidationError):
        return Terms()


def write_terms(place: CapturePlace, declared: Mapping[str, Captures]) -> Terms:
    """Keep what is declared. Call while the place is held. Raises `TryAgain` if the disk refuses."""
    terms = Terms(models={model: captures for model, captures in declared.items() if captures})
    if terms != read_terms(place):
        write_durably(place.terms, canonical_json(terms.model_dump(mode="json")), 0o600, place.disk)
    return terms
