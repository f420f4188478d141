"""Can the runtime of every device class load the model, and run each of its operators? Asked of the device's runtime.

The builder's own runtime says nothing about it: a newer one loads more than a device's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from muster.build.onnx_safety.admit import BUILD_RULES, examine, refuse_found


def check_for_devices(model: bytes, versions: Iterable[str]) -> None:
    """`versions` of onnxruntime, as releases and device classes pin them. Raises `Refused` with what is missing."""
    refuse_found(examine(model, replace(BUILD_RULES, runtimes=tuple(sorted(set(versions))))))
