"""`python -m muster.build.onnx_safety.asking [ANSWER.json ...]`: what the installed onnxruntime can load and run.

It is offered a model of one operator in every opset and every IR version. Which operators it runs, its registry says:
an operator's version can be run if a kernel of the CPU covers it, or if onnx defines it as a function of others.
Without arguments the answer is JSON for one version, so it is run once in an environment of each; with those answers,
the rows of `ONNX_RUNTIMES`, of `OPERATORS` and of `CONTRIBUTED_OPERATORS` (muster/kinds). Kernels also choose by
element type, which no table of operators shows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import TensorProto, defs, helper

from muster.build import onnx_runtime
from muster.build.onnx_safety.safe_model import SafeModel
from muster.kinds.errors import Refused
from muster.kinds.runtimes import Loadable

DOMAINS: Final = ("", "ai.onnx.ml", "com.microsoft")
_OPEN: Final = 2**31 - 1
"""A kernel's last version, where it is not the last: then it covers the version that it begins with."""

_NEWEST_ASKED: Final = 64
_OLD_IR, _OLD_OPSET = 8, 15
"""Loaded by every version that the table has: so what refuses a model is the other number."""

Operators = dict[str, dict[str, dict[int, bool]]]
"""Domain, operator, version: can it be run?"""


def ask() -> Operators:
    """What the installed runtime can run."""
    registry = _registry()
    kernels: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for kernel in registry.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider":
            kernels.setdefault((kernel.domain, kernel.op_name), []).append(kernel.version_range)
    found: Operators = {domain: {} for domain in DOMAINS}
    for schema in registry.get_all_operator_schema():
        if schema.domain in DOMAINS and _published(schema.domain, schema.name):
            ranges = kernels.get((schema.domain, schema.name), [])
            runs = not schema.deprecated and (_covered(schema.since_version, ranges) or _composed(schema))
            found[schema.domain].setdefault(schema.name, {})[schema.since_version] = runs
    return found


def ask_versions() -> Loadable:
    """Which opsets and IR versions the installed runtime loads. Raises `ValueError` if there is a hole among them."""
    numbers = range(1, _NEWEST_ASKED + 1)
    opsets = [opset for opset in numbers if _loads(opset, _OLD_IR)]
    irs = [ir for ir in numbers if _loads(_OLD_OPSET, ir)]
    if opsets != list(range(opsets[0], opsets[-1] + 1)) or irs != list(range(1, irs[-1] + 1)):
        raise ValueError(f"it loads opsets {opsets} and IR versions {irs}: the table cannot say so")
    return Loadable(opsets[0], opsets[-1], irs[-1])


def _loads(opset: int, ir: int) -> bool:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", value[:1], value[1:])
    model = onnx.ModelProto(ir_version=ir, graph=graph, opset_import=[helper.make_opsetid("", opset)])
    try:
        # Made here, and outside of every limit on purpose.
        onnx_runtime.Session(SafeModel(model.SerializeToString()))
    except Refused:
        return False
    return True


def _registry() -> Any:
    # After onnx_runtime, which tells the library to send nothing, and before anything else imports it.
    import onnxruntime

    return onnxruntime.capi.onnxruntime_pybind11_state


def _published(domain: str, name: str) -> bool:
    """Not an operator of the runtime's own that it keeps in ONNX's domain."""
    return domain == "com.microsoft" or defs.has(name, domain)


def _covered(since: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(since == first if last >= _OPEN else first <= since <= last for first, last in ranges)


def _composed(schema: Any) -> bool:
    if schema.domain == "com.microsoft":
        return False
    if schema.name == "Constant":
        # The runtime makes an initializer of it before it looks for kernels.
        return True
    try:
        published: Any = defs.get_schema(schema.name, schema.since_version, schema.domain)
    except onnx.defs.SchemaError:
        return False
    same = published.since_version == schema.since_version
    return bool(same and (published.has_function or published.has_context_dependent_function))


def merged(answers: Mapping[str, Operators]) -> dict[str, dict[str, str]]:
    """Rows of the table: for each version of an operator, the first runtime that runs it.

    `answers` by minor version, oldest first. `1 13 22:1.21 24:-`: versions 1 and 13 are run by every runtime that was
    asked, version 22 from 1.21 on, version 24 by none. Raises `ValueError` if a runtime runs less than an older one.
    """
    oldest = next(iter(answers))
    first: dict[tuple[str, str, int], str | None] = {}
    for minor, operators in answers.items():
        for domain, name, since, runs in _flat(operators):
            was = first.setdefault((domain, name, since), None)
            if was is not None and not runs:
                raise ValueError(f"{minor} does not run {name}-{since}, which {was} runs: the table cannot say so")
            if was is None and runs:
                first[domain, name, since] = minor
    rows: dict[str, dict[str, str]] = {domain: {} for domain in DOMAINS}
    for (domain, name, since), runner in sorted(first.items(), key=lambda item: item[0]):
        entry = str(since) if runner == oldest else f"{since}:{runner or '-'}"
        rows[domain][name] = f"{rows[domain].get(name, '')} {entry}".strip()
    return rows


def _flat(operators: Operators) -> Iterable[tuple[str, str, int, bool]]:
    for domain, names in operators.items():
        for name, versions in names.items():
            for since, runs in versions.items():
                yield domain, name, int(since), runs


def main(paths: Sequence[str]) -> None:
    """Print an answer, or the tables of several."""
    if not paths:
        answer = {"version": onnx_runtime.VERSION, "loads": asdict(ask_versions()), "operators": ask()}
        sys.stdout.write(json.dumps(answer, sort_keys=True) + "\n")
        return
    given = [json.loads(Path(path).read_text()) for path in paths]
    answers = {".".join(one["version"].split(".")[:2]): one for one in given}
    ordered = dict(sorted(answers.items(), key=lambda item: [int(part) for part in item[0].split(".")]))
    sys.stdout.write("".join(_lines(ordered)))


def _lines(answers: Mapping[str, Any]) -> Iterator[str]:
    for minor, answer in answers.items():
        found = Loadable(**answer["loads"])
        yield f'    "{minor}": Loadable({found.least_opset}, {found.most_opset}, {found.most_ir}),\n'
    for domain, rows in merged({minor: answer["operators"] for minor, answer in answers.items()}).items():
        yield f'    "{domain}": {{\n'
        yield from (f'        "{name}": "{row}",\n' for name, row in rows.items())
        yield "    },\n"


if __name__ == "__main__":
    main(sys.argv[1:])
