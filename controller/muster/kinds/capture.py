"""Capture: what devices may take of what their models see, for which purpose, and what is sent of it.

Declared by device class, carried in the desired document, and taken on the device only where somebody consented to the
purpose. Samples are kept in two parts that only a random id joins: the record, which is this module's `CaptureRecord`,
and the content, which is the raw elements of one frame (little endian, C order; never a pickle).
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from muster.kinds.digest import Digest, Name, ReleaseName
from muster.kinds.ppm import PPM
from muster.kinds.quantity import Duration, Percent, Size, parse_duration, parse_size
from muster.kinds.resource import AsTuple, Declared, Text

MOST_PURPOSES: Final = 16
MOST_SAMPLES: Final = 10_000
LARGEST_QUEUE: Final = 2**30
LARGEST_SAMPLE: Final = 16 * 2**20
LARGEST_RECORD: Final = 64 * 2**10
LARGEST_CHUNK: Final = 256 * 2**10
"""In bytes. A sample is sent in chunks of the last size at most."""
_LONGEST_EXPIRY: Final = parse_duration("90d")
_LONGEST_KEEP: Final = parse_duration("730d")
_SHORTEST: Final = parse_duration("1m")

ELEMENTS: Final = {
    "bool": 1,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
}
"""Bytes of each element type that a sample may have."""

ElementType = Literal[
    "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"
]
SampleId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""128 random bits: says nothing of the device, and nobody guesses it."""
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$", max_length=35)]
"""A language tag, such as `de-DE` (BCP 47)."""
Label = Annotated[
    str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00-\x1f\x7f-\x9f\uFFFE\uFFFF]+$")
]
"""What a model or a person said. Labelling tools read it within XML, people on a terminal: no control characters."""
TakenBecause = Literal["low-confidence", "disagreement"]
Day = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Axis = Annotated[int, Field(ge=0, le=LARGEST_SAMPLE)]


class CaptureConditions(Declared):
    """What must hold on the device before anything is sent. What is not known does not hold."""

    unmetered: bool = True
    charging: bool = True


class Capture(Declared):
    """One purpose, of one model. `statement` is what people are asked to consent to, in plain words.

    Taken is an answer whose confidence is below `confidence_below`, or one that somebody corrected (`disagreement`),
    and of those the `share`. On the device at most `most` samples and `size` bytes wait, for `expiry` at most; the
    oldest go first. The server keeps a sample for `keep`.
    """

    purpose: Name
    model: Name
    statement: Text
    confidence_below: Percent | None = None
    disagreement: bool = False
    share: Percent = PPM
    most: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 200
    size: Size = parse_size("16MiB")
    expiry: Duration = parse_duration("7d")
    keep: Duration = parse_duration("90d")
    conditions: CaptureConditions = CaptureConditions()

    @model_validator(mode="after")
    def _takes_something_and_is_bounded(self) -> Capture:
        if self.confidence_below is None and not self.disagreement:
            raise ValueError('nothing would be taken: write confidenceBelow: "60%", or disagreement: true')
        if not 1 <= self.size <= LARGEST_QUEUE:
            raise ValueError('size: write at least "1B", and at most "1GiB"')
        if not _SHORTEST <= self.expiry <= _LONGEST_EXPIRY:
            raise ValueError('expiry: write at least "1m", and at most "90d"')
        if not _SHORTEST <= self.keep <= _LONGEST_KEEP:
            raise ValueError('keep: write at least "1m", and at most "730d"')
        return self

    def reason(self, confidence: float, label: str, corrected: str | None) -> TakenBecause | None:
        """Why this answer fits the purpose; None if it does not. A correction says more than a doubt."""
        if self.disagreement and corrected is not None and corrected != label:
            return "disagreement"
        # Written so that a confidence that is no number counts as low.
        if self.confidence_below is not None and not confidence * PPM >= self.confidence_below:
            return "low-confidence"
        return None


Captures = Annotated[tuple[Capture, ...], AsTuple, Field(max_length=MOST_PURPOSES)]


def declared_twice(captures: tuple[Capture, ...]) -> str | None:
    """The first purpose that stands more than once for a model; None if none does."""
    seen = set()
    for capture in captures:
        if (key := (capture.purpose, capture.model)) in seen:
            return f"purpose {capture.purpose} stands twice for {capture.model}"
        seen.add(key)
    return None


class CaptureRecord(Declared):
    """What is known of a sample, apart from its content. Nothing in it names the device or a person.

    `confidence` in parts per million. `failure_mode`: what the application makes of it, such as `glare`.
    """

    id: SampleId
    purpose: Name
    model: Name
    release: ReleaseName
    model_hash: Digest
    device_class: Name
    because: TakenBecause
    label: Label
    confidence: Annotated[int, Field(ge=0, le=PPM)]
    corrected: Label | None = None
    locale: Locale | None = None
    failure_mode: Name | None = None
    taken_on: Day
    dtype: ElementType
    shape: Annotated[tuple[Axis, ...], AsTuple, Field(max_length=8)]
    size: Annotated[int, Field(ge=1, le=LARGEST_SAMPLE)]
    digest: Digest

    @model_validator(mode="after")
    def _its_parts_fit(self) -> CaptureRecord:
        if math.prod(self.shape) * ELEMENTS[self.dtype] != self.size:
            raise ValueError(f"{self.size} bytes do not fit {self.dtype} of shape {list(self.shape)}")
        if self.release.partition("/")[0] != self.model:
            raise ValueError(f"{self.release} is no release of {self.model}")
        return self
