"""Samples as tasks of Label Studio (https://labelstud.io/guide/task_format, "Basic Label Studio JSON format").

One task for each content, however often it was sent. What the model answered is a prediction under the release's name;
what somebody on a device said is right is another, under `corrected`, for a person to confirm. Names in a task fit the
labelling config that is written beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from muster.kinds.capture import CaptureRecord
from muster.kinds.ppm import PPM

CONTROL: Final = "label"
OBJECT: Final = "sample"
CORRECTED: Final = "corrected"


def task(record: CaptureRecord, shown: Mapping[str, Any], times: int) -> dict[str, Any]:
    """One task. `shown`: `image` (a URL, `data:` included) or `text`. `times`: how often the content was sent."""
    data = {
        **shown,
        "capture": record.id,
        "digest": record.digest,
        "times": times,
        "purpose": record.purpose,
        "model": record.model,
        "release": record.release,
        "device_class": record.device_class,
        "locale": record.locale,
        "because": record.because,
        "failure_mode": record.failure_mode,
        "answered": record.label,
        "confidence": record.confidence / PPM,
        "corrected": record.corrected,
        "taken_on": record.taken_on,
    }
    predictions = [_prediction(record.release, record.label, record.confidence / PPM)]
    if record.corrected is not None:
        predictions.append(_prediction(CORRECTED, record.corrected, 1.0))
    return {"data": {name: value for name, value in data.items() if value is not None}, "predictions": predictions}


def distinct(records: Iterable[CaptureRecord]) -> list[tuple[CaptureRecord, int]]:
    """One record for each content, and how many there are: the first that somebody corrected, or else the first."""
    found: dict[str, tuple[CaptureRecord, int]] = {}
    for record in records:
        kept, times = found.get(record.digest, (record, 0))
        better = record if record.corrected is not None and kept.corrected is None else kept
        found[record.digest] = (better, times + 1)
    return list(found.values())


def labelling_config(labels: Sequence[str], *, image: bool) -> str:
    """The labelling config of a project that the tasks fit."""
    shown = (
        f'<Image name="{OBJECT}" value="$image" zoom="true"/>' if image else f'<Text name="{OBJECT}" value="$text"/>'
    )
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in labels)
    return (
        f'<View>\n  {shown}\n  <Choices name="{CONTROL}" toName="{OBJECT}" choice="single">\n{choices}\n'
        "  </Choices>\n</View>\n"
    )


def _prediction(version: str, label: str, score: float) -> dict[str, Any]:
    result = {"from_name": CONTROL, "to_name": OBJECT, "type": "choices", "value": {"choices": [label]}}
    return {"model_version": version, "score": score, "result": [result]}
