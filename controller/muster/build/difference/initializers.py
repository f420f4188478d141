"""Which initializers differ, by how much, and what they are for: only scales, or weights too?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import TensorProto

from muster.build.difference.distances import Distance, distance

SCALE: Final = "scale"
ZERO_POINT: Final = "zero point"
WEIGHT: Final = "weight"
BIAS: Final = "bias"
OTHER: Final = "constant"

_ROLES: Final[Mapping[str, Mapping[int, str]]] = {
    "QuantizeLinear": {1: SCALE, 2: ZERO_POINT},
    "DequantizeLinear": {0: WEIGHT, 1: SCALE, 2: ZERO_POINT},
    "Conv": {1: WEIGHT, 2: BIAS},
    "ConvTranspose": {1: WEIGHT, 2: BIAS},
    "Gemm": {0: WEIGHT, 1: WEIGHT, 2: BIAS},
    "MatMul": {0: WEIGHT, 1: WEIGHT},
    "ConvInteger": {1: WEIGHT, 2: ZERO_POINT, 3: ZERO_POINT},
    "MatMulInteger": {0: WEIGHT, 1: WEIGHT, 2: ZERO_POINT, 3: ZERO_POINT},
    "QLinearConv": {1: SCALE, 2: ZERO_POINT, 3: WEIGHT, 4: SCALE, 5: ZERO_POINT, 6: SCALE, 7: ZERO_POINT, 8: BIAS},
    "QLinearMatMul": {1: SCALE, 2: ZERO_POINT, 3: WEIGHT, 4: SCALE, 5: ZERO_POINT, 6: SCALE, 7: ZERO_POINT},
}
"""What an operator's input is, by its position."""


@dataclass(frozen=True)
class DifferingInitializer:
    """`distance` is None where type or shape are others, or elements are texts; `what` says so."""

    name: str
    role: str
    what: str
    distance: Distance | None


@dataclass(frozen=True)
class InitializerDifference:
    """Initializers, and tensors of Constant nodes, from the first model to the second."""

    counts: tuple[int, int]
    common: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    differing: tuple[DifferingInitializer, ...]
    reordered: bool

    @property
    def same(self) -> bool:
        """True if nothing of it differs."""
        return not (self.added or self.removed or self.differing or self.reordered)

    @property
    def roles(self) -> dict[str, int]:
        """How many differ of each role."""
        return dict(sorted(Counter(item.role for item in self.differing).items()))

    @property
    def only_scales(self) -> bool:
        """True if some scales differ, and neither a weight nor anything else."""
        return bool(self.differing) and set(self.roles) == {SCALE} and not (self.added or self.removed)

    def histogram(self, unit: str) -> dict[str, int]:
        """Elements by distance, over all initializers that are counted in `unit`."""
        total: Counter[str] = Counter()
        for item in self.differing:
            if item.distance is not None and item.distance.unit == unit:
                total.update(item.distance.histogram)
        return dict(sorted(total.items(), key=lambda entry: int(entry[0]) if entry[0].isdigit() else 2**64))

    def largest(self, role: str) -> int:
        """The largest distance of a role."""
        return self.largest_of(role)[0]

    def largest_of(self, role: str) -> tuple[int, str]:
        """The largest distance of a role, and its unit; 0 where type or shape are others."""
        found = [item.distance for item in self.differing if item.role == role and item.distance]
        return max(((one.largest, one.unit) for one in found), default=(0, "steps"))


def compare_initializers(first: onnx.ModelProto, second: onnx.ModelProto) -> InitializerDifference:
    """By name; both models must have passed the checks."""
    one, other = _tensors(first), _tensors(second)
    roles = {**_roles(second), **_roles(first)}
    common = [name for name in one if name in other]
    found = (_differing(name, roles.get(name, OTHER), one[name], other[name]) for name in common)
    return InitializerDifference(
        counts=(len(one), len(other)),
        common=len(common),
        added=tuple(name for name in other if name not in one),
        removed=tuple(name for name in one if name not in other),
        differing=tuple(item for item in found if item is not None),
        reordered=common != [name for name in other if name in one],
    )


def _tensors(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    found: dict[str, onnx.TensorProto] = {}
    for tensor in model.graph.initializer:
        # A name that comes twice is no fault to the checks of safety, and must not hide a difference.
        found[f"{tensor.name} (again, {len(found)})" if tensor.name in found else tensor.name] = tensor
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            found.update((node.output[0], attribute.t) for attribute in node.attribute if attribute.HasField("t"))
    return found


def _roles(model: onnx.ModelProto) -> dict[str, str]:
    """What is not seen as a weight, a bias or a scale anywhere is a constant. A 32-bit weight is a bias."""
    roles: dict[str, str] = {}
    wide = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT32}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            role = _ROLES.get(node.op_type, {}).get(position)
            if role is not None:
                roles.setdefault(name, BIAS if role == WEIGHT and name in wide else role)
    return roles


def _differing(name: str, role: str, one: onnx.TensorProto, other: onnx.TensorProto) -> DifferingInitializer | None:
    kinds = [TensorProto.DataType.Name(tensor.data_type).lower() for tensor in (one, other)]
    if kinds[0] != kinds[1] or list(one.dims) != list(other.dims):
        return DifferingInitializer(name, role, f"{kinds[0]}{list(one.dims)} became {kinds[1]}{list(other.dims)}", None)
    if one.data_type == TensorProto.STRING:
        same = list(one.string_data) == list(other.string_data)
        return None if same else DifferingInitializer(name, role, "its texts differ", None)
    apart = distance(one, other)
    if not apart.differing:
        return None
    what = f"{apart.differing} of {apart.elements} elements, at most {apart.largest} {apart.unit} apart"
    return DifferingInitializer(name, role, what, apart)
