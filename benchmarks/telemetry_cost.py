"""What measuring costs the application, beside the inference that is measured.

    python benchmarks/telemetry_cost.py [--rounds 40]

`ActiveModel.infer` is `LoadedModel.answer` and the telemetry around it: clocks, counts, histogram, the look for another
release. Both answer the same frames in turns, with a session that answers at once, so that the difference of their
times is the telemetry and no noise of an inference. It is then held against the time of real inferences, with their
pre- and post-processing, of models of three sizes. What the thread behind it does, it does at most once a second:
that is held against the second. CPU time, everything in turns within a round; medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "agent"), str(ROOT / "controller")]

from agent_simulator import MODEL_NAME, Bench, build, make_config  # noqa: E402

from muster.agent.active import open_model  # noqa: E402
from muster.agent.follower import Active  # noqa: E402
from muster.agent.loaded import LoadedModel  # noqa: E402
from muster.agent.runtime import OnnxRuntime  # noqa: E402
from muster.artifacts.inference import Float32  # noqa: E402

TARGET = 0.01
CALLS = 50
# Edges of the frame, from what hardly needs a model to what networks for cameras usually take.
EDGES = (32, 96, 224)
USUAL = 224


class AtOnce:
    """A session whose inference takes no time."""

    delegate = "CPUExecutionProvider"

    def __init__(self) -> None:
        self._scores = np.array([[0.25, 0.75]], np.float32)

    def run(self, _inputs: Float32) -> Float32:
        """Always the same scores."""
        return self._scores


def convolutions(edge: int) -> bytes:
    """Three strided convolutions of 16, 32 and 64 channels on an RGB frame, a mean, and two labels."""
    random = np.random.default_rng(0)
    nodes, weights, name, channels = [], [], "frame", 3
    for number, wide in enumerate((16, 32, 64)):
        weights.append(
            numpy_helper.from_array(random.normal(0, 0.1, (wide, channels, 3, 3)).astype(np.float32), f"w{number}")
        )
        nodes.append(helper.make_node("Conv", [name, f"w{number}"], [f"c{number}"], strides=[2, 2], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        name, channels = f"r{number}", wide
    weights.append(numpy_helper.from_array(random.normal(0, 0.1, (64, 2)).astype(np.float32), "w"))
    nodes += [
        helper.make_node("GlobalAveragePool", [name], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 3, edge, edge])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = onnx.ModelProto.SerializeToString(model)
    return data


def spent(call: Callable[[], object], calls: int) -> float:
    """CPU seconds of one call."""
    began = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - began) / calls


def real(loaded: LoadedModel, edge: int) -> Callable[[], object]:
    """An answer of a real model, pre- and post-processing included."""
    config = make_config()
    config = config.model_copy(update={"input": config.input.model_copy(update={"shape": (3, edge, edge)})})
    session = OnnxRuntime().load(convolutions(edge), "CPUExecutionProvider", config)
    model = replace(loaded, session=session, config=config)
    frame = np.random.default_rng(1).integers(0, 17, (3, edge, edge), np.uint8)
    model.answer(frame)
    return lambda: model.answer(frame)


def measured(rounds: int) -> list[dict[str, float]]:
    """CPU seconds of each thing, for each round."""
    frame = np.full(4, 16, np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        bench.start()
        bench.confirm(build("1.0.0"))
        with open_model(bench.folder.path, MODEL_NAME) as model:
            follower = model._follower  # noqa: SLF001 - a session that takes no time is in nobody's interface
            assert follower.active is not None
            loaded = replace(follower.active.loaded, session=AtOnce())
            follower.active = Active(loaded, 1, follower.lock)
            reals = {edge: real(loaded, edge) for edge in EDGES}
            found = []
            for _ in range(rounds):
                answer = spent(lambda: loaded.answer(frame), CALLS)
                whole = spent(lambda: model.infer(frame), CALLS)
                times = {str(edge): spent(call, 5) for edge, call in reals.items()}
                behind = spent(model._tell, 1) + spent(follower.look, 1)  # noqa: SLF001
                found.append({"telemetry": whole - answer, "behind": behind, **times})
    return found


def main() -> int:
    """Exit 1 if telemetry takes more than its share of the inference of a usual model, or of a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    found = measured(parser.parse_args().rounds)

    def middle(name: str) -> float:
        return statistics.median(one[name] for one in found)

    low, _, high = statistics.quantiles((one["telemetry"] for one in found), n=4)
    print(f"telemetry: {middle('telemetry') * 1e6:.2f} us an inference (quartiles {low * 1e6:.2f}, {high * 1e6:.2f})")
    shares = {}
    for edge in EDGES:
        shares[edge] = statistics.median(one["telemetry"] / one[str(edge)] for one in found)
        print(
            f"{edge:>4} x {edge}: an answer takes {middle(str(edge)) * 1e6:8.1f} us, telemetry {shares[edge]:.2%} of it"
        )
    behind = middle("behind")
    print(f"the thread behind it: {behind * 1e6:.0f} us at most once a second, {behind:.3%} of a core")
    print(f"target {TARGET:.0%}, for frames of {USUAL} x {USUAL} and larger")
    return int(max(*(share for edge, share in shares.items() if edge >= USUAL), behind) > TARGET)


if __name__ == "__main__":
    sys.exit(main())
