"""The one way from bytes to a model: walked, parsed, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from muster.build.onnx_safety.finding import SafetyFinding
from muster.build.onnx_safety.operators import check_operators
from muster.build.onnx_safety.rules import Rules
from muster.build.onnx_safety.safe_model import SafeModel
from muster.build.onnx_safety.structure import check_structure
from muster.build.onnx_safety.tensor_checks import check_tensors
from muster.build.onnx_safety.wire import walk
from muster.kinds.errors import Refused

MAX_FINDINGS: Final = 20
BUILD_RULES: Final = Rules()


def examine(data: bytes, rules: Rules = BUILD_RULES) -> tuple[SafetyFinding, ...]:
    """What speaks against a model: at most `MAX_FINDINGS`, none if it is accepted."""
    found = walk(data, rules.limits)
    if found is not None:
        return (found,)
    try:
        model = _parse(data)
    except Refused as error:
        return (SafetyFinding("wire", "file", error.message, error.hint or ""),)
    return examine_model(model, rules)


def examine_model(model: onnx.ModelProto, rules: Rules = BUILD_RULES) -> tuple[SafetyFinding, ...]:
    """As `examine`, for a model whose bytes were walked."""
    found: list[SafetyFinding] = []
    for finding in _checks(model, rules):
        found.append(finding)
        # What else is wrong is of no interest to anybody, and costs time.
        if len(found) == MAX_FINDINGS:
            break
    return tuple(found)


def parse(data: bytes, rules: Rules = BUILD_RULES) -> onnx.ModelProto:
    """The model in `data`, whose bytes are bounded; what it holds was not looked at. Raises `Refused`."""
    found = walk(data, rules.limits)
    if found is not None:
        raise Refused(f"{found.message} [{found.rule}]", found.hint)
    return _parse(data)


def admit(data: bytes, rules: Rules = BUILD_RULES) -> SafeModel:
    """The bytes, as a model that may be loaded. Raises `Refused` with the first finding, and how many there are."""
    refuse_found(examine(data, rules))
    return SafeModel(data)


def refuse_found(findings: tuple[SafetyFinding, ...]) -> None:
    """Raise `Refused` if there is a finding."""
    if findings:
        first = findings[0]
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise Refused(f"{first.message} [{first.rule}]{more}", first.hint)


def _checks(model: onnx.ModelProto, rules: Rules) -> Iterator[SafetyFinding]:
    yield from check_structure(model, rules)
    yield from check_operators(model, rules)
    yield from check_tensors(model, rules)


def _parse(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise Refused("the model is not an ONNX file", "export it again") from error
    return model
