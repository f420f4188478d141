"""The type of a model's bytes that passed. Apart from the checks: a measured process imports it, and no onnx."""

from __future__ import annotations

from typing import NewType

SafeModel = NewType("SafeModel", bytes)
