"""The model card of a release: Markdown for people, with YAML front matter for programs.

Format of the front matter: the Hugging Face Hub's model card metadata, results as `model-index`. Generated from the
declaration and from evidence, never edited by hand: a card says nothing that no file says. Text from the declaration is
escaped, so that a description cannot pass for a heading, a link or a table of the card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any, Final

from muster.attest.figures import UNITS, Figure
from muster.attest.release_manifest import Known
from muster.check.trace import descent
from muster.kinds.release import Release

_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>~])")


def model_card(known: Known) -> str:
    """The card. The same release and evidence give the same text."""
    release = known.release
    lines = [
        "---",
        _front_matter(known).rstrip("\n"),
        "---",
        "",
        f"# {_text(release.model)} {release.version}",
        "",
        *([_text(release.metadata.description), ""] if release.metadata.description else []),
        f"Generated from commit `{known.commit}`. Every figure names the signed evidence that says it.",
        "",
        *_uses(release),
        *_figures(known),
        *_limits(known),
        *_origin(release),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _front_matter(known: Known) -> str:
    from ruamel.yaml import YAML

    release = known.release
    images = len(release.spec.inference.input.shape) == 3
    metadata: dict[str, Any] = {
        "library_name": "onnxruntime",
        "tags": ["onnx", "quantized", "muster", f"tier:{release.spec.tier}"],
        **({"pipeline_tag": "image-classification"} if images else {}),
    }
    task = {"type": "image-classification" if images else "classification"}
    metrics = [_metric(figure) for figure in known.figures if figure.key[0] == "accuracy"]
    if metrics:
        digest = release.spec.snapshots.evaluation
        dataset = {"type": "snapshot", "name": "evaluation snapshot", "revision": digest}
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        metadata["model-index"] = [{"name": release.name, "results": [result]}]
    written = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4_096
    yaml.dump(metadata, written)
    return written.getvalue()


def _metric(figure: Figure) -> dict[str, Any]:
    _, device_class, piece = figure.key
    where = ", ".join(part for part in (device_class, piece) if part)
    return {
        "type": "accuracy",
        # The Hub reads a number here; signed evidence keeps the decimal.
        "value": float(figure.result.value),
        "name": f"accuracy ({where})" if where else "accuracy",
    }


def _uses(release: Release) -> Iterator[str]:
    spec = release.spec
    labels = spec.inference.output.labels
    shown = ", ".join(_text(label) for label in labels[:20]) + (", …" if len(labels) > 20 else "")
    yield from ("## What it does", "")
    yield f"One input of shape {list(spec.inference.input.shape)}; {len(labels)} labels: {shown}."
    yield from ("", "| device class | runtime | provider |", "|---|---|---|")
    for runtime in spec.runtimes:
        yield f"| {runtime.device_class} | {runtime.name} {runtime.version} | {runtime.provider} |"
    yield ""


def _figures(known: Known) -> Iterator[str]:
    yield from ("## Figures", "")
    if not known.figures:
        yield from ("Nobody measured this release yet.", "")
        return
    yield from (
        "| metric | device class | slice | value | interval | samples | evidence |",
        "|---|---|---|---|---|---|---|",
    )
    for figure in known.figures:
        result = figure.result
        unit = UNITS.get(result.metric, "")
        bounds = [value for value in (result.lower, result.upper) if value is not None]
        interval = f"{bounds[0]:f} to {bounds[1]:f}" if len(bounds) == 2 else "-"
        cells = (
            result.metric,
            result.device_class or "any",
            result.slice or "-",
            f"{result.value:f} {unit}".rstrip(),
            interval,
            "-" if result.samples is None else str(result.samples),
            f"`{_plain(figure.path)}`",
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _limits(known: Known) -> Iterator[str]:
    """What a reader could take for granted and may not."""
    measured = {figure.key[1] for figure in known.figures}
    missing = [one.device_class for one in known.release.spec.runtimes if one.device_class not in measured]
    odd = [item.path for item in known.evidence if item.problem is not None]
    if not missing and not odd:
        return
    yield from ("## Limits", "")
    if missing:
        yield f"- Not measured on: {', '.join(missing)}."
    for path in sorted(odd):
        yield f"- Not believed: `{_plain(path)}`."
    yield ""


def _origin(release: Release) -> Iterator[str]:
    yield from ("## Where it came from", "", "| what | identity | known |", "|---|---|---|")
    for step in descent(release):
        yield f"| {step.what} | `{_plain(step.id)}` | {_text(step.note) or '-'} |"


def _text(value: str) -> str:
    return _MARKS.sub(r"\\\1", " ".join(value.split()))


def _plain(value: str) -> str:
    """Inside code marks."""
    return " ".join(value.replace("`", "'").replace("|", "/").split())
