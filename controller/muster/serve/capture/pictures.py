"""Samples as pictures, where a model's input is one: what the model saw, after its pinned pre-processing, as PNG."""

from __future__ import annotations

import io
import math

import numpy as np

from muster.artifacts.inference import normalize
from muster.artifacts.tensors import DTYPES, Tensor
from muster.kinds.capture import CaptureRecord
from muster.kinds.errors import Unusable
from muster.kinds.release import InferenceInput

_CHANNELS = (1, 3, 4)
_SMALLEST, _LARGEST = 2, 16_384
_WHITE = 255


def tensor_of(record: CaptureRecord, content: bytes) -> Tensor:
    """The elements of a sample, in its shape. Raises `Unusable` unless the content is as long as its record says."""
    if len(content) != record.size:
        raise Unusable(f"the content of {record.id} has {len(content)} bytes, not {record.size}")
    return np.frombuffer(content, DTYPES[record.dtype]).reshape(record.shape)


def layout(shape: tuple[int, ...]) -> tuple[str, int, int, int] | None:
    """(order, height, width, channels) of an input that is a picture, its batch axis left out; None if it is none.

    HW, CHW or HWC, with 1, 3 or 4 channels, and sides of 2 to 16,384 pixels.
    """
    match shape:
        case (height, width):
            order, channels = "HW", 1
        case (channels, height, width) if channels in _CHANNELS:
            order = "CHW"
        case (height, width, channels) if channels in _CHANNELS:
            order = "HWC"
        case _:
            return None
    fits = all(_SMALLEST <= side <= _LARGEST for side in (height, width))
    return (order, height, width, channels) if fits else None


def png_of(record: CaptureRecord, content: bytes, config: InferenceInput) -> bytes | None:
    """The picture, from 0 (black) to 1 (white) of the normalised input; None if the input is no picture.

    Raises `Unusable` or `Refused` for a content that does not fit the input.
    """
    from PIL import Image

    found = layout(config.shape)
    if found is None:
        return None
    order, height, width, channels = found
    frame = tensor_of(record, content).reshape(1, -1)
    if frame.size != math.prod(config.shape):
        raise Unusable(f"{record.id} has {frame.size} elements; the input of {record.release} has another number")
    pixels = np.rint(np.clip(normalize(frame, config)[0], 0, 1) * _WHITE).astype(np.uint8)
    if order == "CHW":
        pixels = pixels.transpose(1, 2, 0)
    pixels = pixels.reshape((height, width) if channels == 1 else (height, width, channels))
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()
