"""The device's camera: recorded frames, replayed for ever."""

from __future__ import annotations

from pathlib import Path

from muster.agent.folder import read_bounded
from muster.artifacts.golden import FRAMES, tensor_of
from muster.artifacts.tensors import Tensor
from muster.kinds.errors import Unusable

LIMIT = 2**28


class Camera:
    """Frames [N, ...] of raw values, from `start` on."""

    def __init__(self, frames: Tensor, start: int = 0) -> None:
        if frames.ndim < 2 or not len(frames):
            raise Unusable(f"frames of shape {frames.shape}", "give a tensor `frames` [N, ...] with at least one frame")
        self._frames = frames
        self._next = start % len(frames)

    def frame(self) -> Tensor:
        """The next frame."""
        frame: Tensor = self._frames[self._next]
        self._next = (self._next + 1) % len(self._frames)
        return frame


def read_frames(path: Path) -> Tensor:
    """The frames of a snapshot, up to 256 MiB. Raises `Unusable`."""
    return tensor_of(read_bounded(path, LIMIT), FRAMES)
