"""The pages of docs/gates.md: for each gate kind an example, its fields, what it reads, and how to satisfy it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Final

from muster.check.gates.gate_kind import GateKind
from muster.check.gates.table import GATE_KINDS
from muster.kinds.policy import GateMetric

_RELATIVE: Final = {
    "absolute": "the value itself",
    "source": "over the source model's",
    "superseded": "over that of the release it supersedes",
    "budget": "over the budget of the device class",
    "clean": "over the artifact's accuracy on clean inputs",
}
_READS: Final = {
    "measurement": "Results of `{metric}` in statements of `muster:measurement/v1`, the newest that is believed",
    "slices": "Results of `accuracy` per slice in a statement of `muster:measurement/v1`, the newest that is believed",
    "rebuild": "All believed statements of `muster:rebuild/v1`",
    "signature": "All believed statements about the artifact, of any type",
    "provenance": "All believed statements of `https://slsa.dev/provenance/v1`",
    "size": "`spec.artifact.size` of the release. No evidence",
    "compatibility": "`spec.onnx`, `spec.recipe` and `spec.runtimes` of the release, `spec.runtime` and `spec.isa` of "
    "the device class, and what that version of the runtime loads. No evidence",
}
_UNITS: Final = {
    "number": 'a number, such as `"0.98"` or `"98%"`',
    "time": 'a time: `"20ms"`',
    "size": 'a size: `"4MiB"`',
}
_SCOPES: Final = {
    "release": "One verdict for the release.",
    "class": "One verdict for each device class that the release goes to.",
    "budget": "One verdict for the release; for each device class where the threshold is relative to a budget.",
    "asked": "One verdict for the release, or for the device class that the gate names.",
}


def gates() -> str:
    """All kinds, in the order of the table."""
    contents = "".join(f"- [{kind.title}](#{_anchor(kind.title)}): `{metric}`\n" for metric, kind in GATE_KINDS.items())
    return f"{contents}\n" + "\n".join(_page(metric, kind) for metric, kind in GATE_KINDS.items())


def example(kind: GateKind) -> str:
    """The example as an entry of `gates` in a tier."""
    lines = [
        f"{name}: {json.dumps(value) if name in {'threshold', 'comparator'} else value}"
        for name, value in kind.example.items()
    ]
    return "- " + "\n  ".join(lines) + "\n"


def _page(metric: GateMetric, kind: GateKind) -> str:
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in _fields(metric, kind))
    command = f"\n\n```sh\n{_command(kind)}\n```" if kind.command else ""
    return (
        f"## {kind.title}\n\n{_wrapped(kind.says)}\n\n```yaml\n{example(kind)}```\n\n"
        f"### Fields of {metric}\n\n| field | value |\n|---|---|\n{rows}\n"
        f"### What {metric} reads\n\n{_wrapped(f'{_reads(metric, kind)} {_SCOPES[kind.scope]}')}\n\n"
        f"### How to satisfy {metric}\n\n{_wrapped(kind.satisfy)}{command}\n"
    )


def _fields(metric: GateMetric, kind: GateKind) -> Iterator[tuple[str, str]]:
    yield "metric", f"`{metric}`"
    yield "comparator", ", ".join(f'`"{comparator}"`' for comparator in kind.comparators)
    ratio = " With `relativeTo`, a ratio." if len(kind.relative_to) > 1 else ""
    most = f" The largest value is {kind.most}." if kind.most else ""
    yield "threshold", f"{_UNITS[kind.dimension]}.{ratio}{most}"
    yield "relativeTo", "; ".join(f"`{name}`: {_RELATIVE[name]}" for name in kind.relative_to)
    if kind.scope != "release":
        yield "deviceClass", "only this class"
    if kind.sliced:
        yield "slice", "only this slice"
    if kind.samples:
        yield "minSamples", "with fewer, inconclusive"
    if kind.interval != "none":
        yield "bound", f"`lower`, `upper`; {_bounds(kind)}"
    if kind.reads == "rebuild":
        yield "rebuilders", "at level 3: who may count, each a signing key's name or `identities/<name>`"
        yield "agreeing", "at level 3: how many of them must agree, from 2 to 16"
    if kind.command:
        yield "maxAge", "how old the evidence may be; the tier's `evidenceMaxAge` holds too"
    yield "model", "only releases of this model"
    yield "severity", "`block` (so by default) or `warn`"


def _bounds(kind: GateKind) -> str:
    if kind.interval == "counts":
        return "one-sided at 95 %, computed from the counts that the evidence gives"
    return "as the evidence gives them, at 95 % or more"


def _reads(metric: GateMetric, kind: GateKind) -> str:
    snapshots = " and ".join(f"`spec.snapshots.{name}`" for name in kind.snapshots)
    of = f", measured on the release's own {snapshots}" if snapshots else ""
    return _READS[kind.reads].format(metric=metric) + f"{of}."


def _command(kind: GateKind) -> str:
    path = "releases/meter-reader/1.2.0.yaml"
    threshold = kind.example["threshold"]
    return kind.command.format(path=path, device_class="cam-edge", threshold=threshold).replace("KEY", "evidence.pem")


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
