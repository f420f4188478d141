"""Which versions and operators a model uses, and whether every runtime that shall run it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import onnx

from muster.build.onnx_safety.finding import SafetyFinding, shown
from muster.build.onnx_safety.rules import Rules
from muster.build.onnx_safety.walking import scopes
from muster.kinds.runtime_operators import runs
from muster.kinds.runtimes import ONNX_RUNTIMES, loadable

_DEFAULT: Final = "ai.onnx"
"""Another name of the empty domain."""


def check_operators(model: onnx.ModelProto, rules: Rules) -> Iterator[SafetyFinding]:
    """Domains, versions, operators. Every complaint stands once, however many nodes give rise to it."""
    opsets = {_domain(entry.domain): entry.version for entry in model.opset_import}
    local = {_domain(function.domain) for function in model.functions}
    yield from _check_imports(model, rules, local)
    for version in rules.runtimes:
        yield from _check_versions(model.ir_version, opsets, version)
    defined = {(_domain(function.domain), function.name) for function in model.functions}
    used = {(_domain(node.domain), node.op_type) for scope in scopes(model) for node in scope.nodes}
    for domain, operator in sorted(used - defined):
        yield from _check_operator(domain, operator, opsets, rules)


def _domain(name: str) -> str:
    return "" if name == _DEFAULT else name


def _check_imports(model: onnx.ModelProto, rules: Rules, local: set[str]) -> Iterator[SafetyFinding]:
    names = [_domain(entry.domain) for entry in model.opset_import]
    if len(names) > rules.limits.opsets or len(set(names)) < len(names):
        yield SafetyFinding(
            "domain",
            "model",
            f"the model imports {len(names)} domains, some of them twice or more than {rules.limits.opsets}",
            "export it with one version for each domain",
        )
    for function in model.functions:
        for entry in function.opset_import:
            if {_domain(entry.domain): entry.version}.items() - _imported(model).items() - _of(local):
                yield SafetyFinding(
                    "domain",
                    f"function {shown(function.name)}",
                    f"function {shown(function.name)} imports version {entry.version} of domain "
                    f"{shown(entry.domain)}, the model another",
                    "export the model with its functions inlined",
                )


def _imported(model: onnx.ModelProto) -> dict[str, int]:
    return {_domain(entry.domain): entry.version for entry in model.opset_import}


def _of(local: set[str]) -> set[tuple[str, int]]:
    return {(name, version) for name in local for version in range(1, 65)}


def _check_versions(ir: int, opsets: Mapping[str, int], version: str) -> Iterator[SafetyFinding]:
    known = loadable(version)
    if known is None:
        yield SafetyFinding(
            "runtime",
            "model",
            f"nobody has asked yet what onnxruntime {version} loads",
            f"declare a released version of {', '.join(ONNX_RUNTIMES)}, or ask it: "
            "python -m muster.build.onnx_safety.asking",
        )
        return
    if not 1 <= ir <= known.most_ir:
        yield SafetyFinding(
            "ir",
            "model",
            f"the model has IR version {ir}, onnxruntime {version} loads 1 to {known.most_ir}",
            "export it with an older IR version, or raise the runtime of the device class",
        )
    # A model may use other domains alone; nodes of a domain that it does not import are found below.
    if "" in opsets and not known.least_opset <= opsets[""] <= known.most_opset:
        yield SafetyFinding(
            "opset",
            "model",
            f"the model has opset {opsets['']}, onnxruntime {version} loads {known.least_opset} to {known.most_opset}",
            "export it with an opset in between, or raise the runtime of the device class",
        )


def _check_operator(domain: str, operator: str, opsets: Mapping[str, int], rules: Rules) -> Iterator[SafetyFinding]:
    name = shown(operator)
    if domain not in rules.domains:
        accepted = ", ".join(repr(accepted) for accepted in sorted(rules.domains))
        yield SafetyFinding(
            "domain",
            name,
            f"operator {operator[:80]} of domain {shown(domain)}",
            f"only operators of these domains are accepted: {accepted}",
        )
        return
    if domain not in opsets:
        yield SafetyFinding(
            "domain",
            name,
            f"operator {name} is of domain {shown(domain)}, which the model does not import",
            "export it again",
        )
        return
    if domain == "" and operator in rules.refused:
        yield SafetyFinding(
            "unbounded-operator",
            name,
            f"operator {operator} is not accepted: its cost or outcome cannot be told from shapes",
            "export the model with fixed sizes, for inference, without control flow and without text operators",
        )
        return
    for version in rules.runtimes:
        if loadable(version) is not None and not runs(version.rpartition(".")[0], domain, operator, opsets[domain]):
            yield SafetyFinding(
                "operator",
                name,
                f"onnxruntime {version} has no operator {name} of domain {shown(domain)} in version {opsets[domain]}",
                "export it with operators that the runtime of every device class runs",
            )
