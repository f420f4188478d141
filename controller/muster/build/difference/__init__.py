"""Why two models, builds or releases are not the same bytes: graph, initializers, metadata, stages, and likely causes.

Rules of this package: what is read is somebody's file, and passes the checks of `onnx_safety` first; nothing is run;
a cause is never said without the evidence for it, and without evidence it is unknown.
"""
