"""Samples of a model, fetched from a running controller and written for a labelling tool."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from muster.artifacts.durable import write_durably
from muster.kinds.capture import CaptureRecord
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.release import Inference
from muster.serve.capture.label_studio import distinct, labelling_config, task
from muster.serve.capture.pictures import png_of, tensor_of
from muster.serve.client import ControllerClient

TASKS, CONFIG, IMAGES = "tasks.json", "labelling-config.xml", "images"
MOST_ELEMENTS = 10_000
"""Of a sample that is no picture, shown as numbers."""
_NO_PICTURE = "it is no picture, and others of the model are"


@dataclass(frozen=True)
class Exported:
    """What was written, and which samples could not be."""

    tasks: int
    samples: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class Export:
    """`inferences`: release → inference config, as git declares it. `image_url`: what stands before the names of
    pictures that are written beside the tasks; None: pictures stand within the tasks, as `data:` URLs.
    """

    client: ControllerClient
    inferences: Mapping[str, Inference]
    out: Path
    image_url: str | None = None

    def write(self, model: str, purpose: str | None) -> Exported:
        """Write tasks and labelling config. Raises `Unusable` for an answer that is none, `TryAgain`."""
        chosen = {"purpose": purpose} if purpose else {}
        records = [_record(item) for item in self.client.pages("/v1/captures", model=model, limit=1_000, **chosen)]
        left_out: dict[str, str] = {}
        shown = [one for record, times in distinct(records) if (one := self._task(record, times, left_out))]
        image = any("image" in made["data"] for made in shown)
        tasks = [made for made in shown if ("image" in made["data"]) == image]
        # A labelling config shows every task alike.
        left_out |= {made["data"]["capture"]: _NO_PICTURE for made in shown if ("image" in made["data"]) != image}
        labels = dict.fromkeys(
            label
            for name in dict.fromkeys(record.release for record in records)
            if (found := self.inferences.get(name))
            for label in found.output.labels
        )
        answered = dict.fromkeys(label for one in records for label in (one.label, one.corrected) if label is not None)
        self._put(TASKS, json.dumps(tasks, indent=2, ensure_ascii=False).encode())
        self._put(CONFIG, labelling_config([*(labels | answered)], image=image).encode())
        return Exported(len(tasks), len(records), left_out)

    def _task(self, record: CaptureRecord, times: int, left_out: dict[str, str]) -> dict[str, Any] | None:
        try:
            return task(record, self._shown(record), times)
        except (Refused, Unusable) as error:
            left_out[record.id] = error.message
            return None

    def _shown(self, record: CaptureRecord) -> dict[str, Any]:
        content = self.client.data(f"/v1/captures/{record.id}/content")
        if digest_of(content) != record.digest:
            raise Unusable("its content is not the one of its record")
        inference = self.inferences.get(record.release)
        picture = png_of(record, content, inference.input) if inference else None
        if picture is None:
            numbers = tensor_of(record, content)
            if numbers.size > MOST_ELEMENTS:
                raise Unusable(f"it is no picture, and has more than {MOST_ELEMENTS} elements")
            return {"text": json.dumps(numbers.tolist())}
        if self.image_url is None:
            return {"image": f"data:image/png;base64,{base64.b64encode(picture).decode()}"}
        name = f"{record.digest.removeprefix('sha256:')}.png"
        self._put(f"{IMAGES}/{name}", picture)
        return {"image": self.image_url + name}

    def _put(self, name: str, data: bytes) -> None:
        # What people saw is for whoever exports it, and nobody else on this machine.
        write_durably(self.out / name, data, 0o600)


def _record(item: Any) -> CaptureRecord:
    try:
        known = {name: value for name, value in item.items() if name != "expiresAt"}
        return CaptureRecord.model_validate_json(json.dumps(known))
    except (ValidationError, AttributeError) as error:
        raise Unusable("the controller answers with what is no sample") from error
