"""Operators in float64 that ONNX's reference evaluator lacks there, rounds to float32, or walks through in Python."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from onnx.reference.op_run import OpRun

from muster.artifacts.tensors import Tensor


def _along(axis: int, values: Tensor, parameter: Tensor) -> Tensor:
    """Shape a parameter per tensor or per channel so that it meets `values` on its axis."""
    if parameter.size == 1:
        return parameter.reshape(())
    shape = [1] * values.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


class DequantizeLinear(OpRun):
    """The evaluator's own starts at opset 19, and rounds to float32."""

    op_domain = ""

    def _run(
        self, values: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int | None = None, **_: Any
    ) -> tuple[Tensor]:
        axis = 1 if axis is None else axis
        whole = values.astype(np.int64)
        if zero is not None:
            whole = whole - _along(axis, values, zero.astype(np.int64))
        return (whole * _along(axis, values, scale),)


class QuantizeLinear(OpRun):
    """Round half to even, as the operator's specification says, in float64."""

    op_domain = ""

    def _run(
        self, values: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int | None = None, **_: Any
    ) -> tuple[Tensor]:
        axis = 1 if axis is None else axis
        limits = np.iinfo(np.uint8 if zero is None else zero.dtype)
        steps = np.rint(values / _along(axis, values, scale))
        if zero is not None:
            steps = steps + _along(axis, values, zero.astype(np.int64))
        return (np.clip(steps, limits.min, limits.max).astype(limits.dtype),)


class Erf(OpRun):
    """The evaluator's own rounds to float32."""

    op_domain = ""

    def _run(self, values: Tensor) -> tuple[Tensor]:
        return (_ERF(values),)


class LRN(OpRun):
    """The evaluator's own sums over as many channels as there are frames, and over none beyond."""

    op_domain = ""

    def _run(self, values: Tensor, alpha: float, beta: float, bias: float, size: int) -> tuple[Tensor]:
        around = [(0, 0), ((size - 1) // 2, size // 2), *[(0, 0)] * (values.ndim - 2)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values * values, around), size, axis=1)
        return (values / (bias + alpha / size * windows.sum(axis=-1)) ** beta,)


_ERF = np.vectorize(math.erf, otypes=[np.float64])


class AveragePool(OpRun):
    """Over windows at once. The evaluator's own walks through them in Python, and mixes up padding of unequal sides."""

    op_domain = ""

    def _run(self, values: Tensor, **attributes: Any) -> tuple[Tensor]:
        pool = _Pool(values.shape[2:], attributes)
        sums = pool.windows(np.pad(values, pool.around)).sum(axis=pool.axes)
        if attributes.get("count_include_pad"):
            return (sums / math.prod(pool.kernel),)
        inside = np.pad(np.ones((1, 1, *values.shape[2:]), np.int64), pool.around)
        return (sums / pool.windows(inside).sum(axis=pool.axes),)


class MaxPool(OpRun):
    """As AveragePool; with one output."""

    op_domain = ""

    def _run(self, values: Tensor, **attributes: Any) -> tuple[Tensor]:
        pool = _Pool(values.shape[2:], attributes)
        least = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
        return (pool.windows(np.pad(values, pool.around, constant_values=least)).max(axis=pool.axes),)


class _Pool:
    """Where the windows of a pooling operator lie. Raises `ValueError` where rounding up would add some."""

    def __init__(self, sizes: tuple[int, ...], attributes: dict[str, Any]) -> None:
        self.kernel = tuple(attributes["kernel_shape"])
        rank = len(self.kernel)
        self.axes = tuple(range(-rank, 0))
        self._strides = list(attributes.get("strides") or [1] * rank)
        self._dilations = list(attributes.get("dilations") or [1] * rank)
        self._spans = tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self._dilations, strict=True))
        pads = self._pads(attributes, sizes)
        self.around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        left = [
            (size + sum(around) - span) % stride
            for size, around, span, stride in zip(sizes, self.around[2:], self._spans, self._strides, strict=True)
        ]
        if attributes.get("ceil_mode") and any(left):
            raise ValueError("pooling with ceil_mode, where it adds windows, is not evaluated in float64")

    def _pads(self, attributes: dict[str, Any], sizes: tuple[int, ...]) -> list[int]:
        kind = attributes.get("auto_pad") or "NOTSET"
        if kind == "NOTSET":
            return list(attributes.get("pads") or [0] * (2 * len(sizes)))
        if kind == "VALID":
            return [0] * (2 * len(sizes))
        short = [
            max(0, (-(-size // stride) - 1) * stride + span - size)
            for size, stride, span in zip(sizes, self._strides, self._spans, strict=True)
        ]
        small, large = [one // 2 for one in short], [one - one // 2 for one in short]
        return [*small, *large] if kind == "SAME_UPPER" else [*large, *small]

    def windows(self, padded: Tensor) -> Tensor:
        """[N, C, *out, *kernel]: a view."""
        views = np.lib.stride_tricks.sliding_window_view(padded, self._spans, tuple(range(2, padded.ndim)))
        every = [slice(None, None, step) for step in (*self._strides, *self._dilations)]
        found: Tensor = views[(slice(None), slice(None), *every)]
        return found


OPERATORS: Final = (LRN, AveragePool, DequantizeLinear, Erf, MaxPool, QuantizeLinear)
