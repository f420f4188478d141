"""From a release's pins to its artifact: stages, each addressed by content, and the proof that it rebuilds.

Rules of this package: a recipe is data and nothing in it is executed; what enters is bounded before it is computed
with; no stage reads the clock, the environment or a random source; whatever a pin depends on is computed in integers,
in float64 with room to spare, or by `quantize_static` from a pinned table. Only `onnx_runtime`
and `onnx_tools` import onnxruntime.
"""
