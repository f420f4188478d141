"""What the application beside the agent tells: how people and other programs fared with a model's answers.

application.json in the device's folder, replaced as a whole by the application, by model:

    {"meter-reader": {"modelHash": "sha256:…", "fallbackPpm": 1200, "accepted": 310, "corrected": 4,
                      "values": {"queue-depth": 3}}}

All of it is since the model with that hash was switched in. What speaks of another model than the one that runs, or
cannot be read, is left out: figures that are missing are seen as missing.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from muster.agent.folder import DeviceFolder, read_bounded
from muster.kinds.digest import Digest, Name
from muster.kinds.errors import Unusable
from muster.kinds.resource import Declared
from muster.kinds.telemetry import Count, Ppm, Values

LIMIT = 64 * 1024


class ApplicationFigures(Declared):
    """One model's."""

    model_hash: Digest
    fallback_ppm: Ppm | None = None
    accepted: Count | None = None
    corrected: Count | None = None
    values: Values = Field(default_factory=dict)


_File = Annotated[dict[Name, ApplicationFigures], Field(max_length=64)]
_file: TypeAdapter[dict[str, ApplicationFigures]] = TypeAdapter(_File)


def read_application(folder: DeviceFolder, model: str) -> ApplicationFigures | None:
    """What is told of a model; None if nothing is, or nothing that can be read."""
    if not folder.application.exists():
        return None
    try:
        return _file.validate_json(read_bounded(folder.application, LIMIT)).get(model)
    except (ValidationError, Unusable):
        return None
