"""`python -m training.meter_reader [--store DIR] [--json]`: train every version, cut the snapshots, fill the store."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from muster.artifacts.store import Store
from muster.artifacts.tensors import dump_tensors
from muster.kinds.errors import MusterError
from training.meter_reader.digits import Digits, Part, load
from training.meter_reader.exact import Hyperparameters, Trained, classify, train
from training.meter_reader.network import to_onnx

VERSIONS: Final = {
    "1.0.0": Hyperparameters(filters=8, epochs=8, shifts=1, seed=8),
    "1.1.0": Hyperparameters(filters=16, epochs=8, shifts=1, seed=7),
    "1.2.0": Hyperparameters(filters=20, epochs=5, shifts=5, seed=8),
}


@click.command(help=__doc__)
@click.option("--store", type=click.Path(file_okay=False, path_type=Path), default=Path(".muster/store"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--version", "versions", type=click.Choice(list(VERSIONS)), multiple=True, help="Train only this one.")
def main(store: Path, as_json: bool, versions: tuple[str, ...]) -> None:
    """Exit 0 when all is in the store, 2 when it could not be written."""
    try:
        result = fill(Store(store), versions or tuple(VERSIONS))
    except MusterError as error:
        click.echo(f"error: {error.message}", err=True)
        sys.exit(error.exit_code)
    click.echo(json.dumps(result, indent=2) if as_json else _text(result))


def fill(store: Store, versions: Sequence[str]) -> dict[str, Any]:
    """Put source models and snapshots into the store; returns digests, counts and accuracies (exact fractions)."""
    digits = load()
    snapshots = {
        name: {"digest": store.put(snapshot(part)), "frames": len(part)} for name, part in digits.snapshots.items()
    }
    return {
        "dataset": {"digest": store.put(snapshot(digits.everything)), "frames": len(digits.everything)},
        "snapshots": snapshots,
        "models": {version: _model(store, digits, VERSIONS[version]) for version in versions},
    }


def snapshot(part: Part) -> bytes:
    """A part as a snapshot: raw `frames` uint8 [N, 8, 8] and `labels` int64 [N]."""
    return dump_tensors({"frames": part.frames.astype("uint8"), "labels": part.labels})


def _model(store: Store, digits: Digits, parameters: Hyperparameters) -> dict[str, Any]:
    trained = train(digits.training, parameters)
    source = to_onnx(trained)
    return {
        "digest": store.put(source),
        "size": len(source),
        "hyperparameters": parameters.declared(),
        "seed": parameters.seed,
        "heldOut": _accuracy(trained, digits.held_out),
        "evaluation": _accuracy(trained, digits.snapshots["evaluation"]),
    }


def _accuracy(trained: Trained, part: Part) -> dict[str, int]:
    return {"right": int((classify(trained, part.frames) == part.labels).sum()), "of": len(part)}


def _text(result: dict[str, Any]) -> str:
    lines = [f"{'model':<14}{'held out':>12}{'evaluation':>12}{'bytes':>8}  digest"]
    for version, model in result["models"].items():
        shares = [f"{model[key]['right'] / model[key]['of']:.2%}" for key in ("heldOut", "evaluation")]
        lines.append(f"{version:<14}{shares[0]:>12}{shares[1]:>12}{model['size']:>8}  {model['digest']}")
    lines += ["", f"{'snapshot':<14}{'frames':>12}  digest"]
    for name, part in {**result["snapshots"], "all digits": result["dataset"]}.items():
        lines.append(f"{name:<14}{part['frames']:>12}  {part['digest']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
