"""Builds in an environment that is made from a release's builder lock alone, and never in the controller's own.

lock → environment (uv, wheels by hash, cached by digest below the state folder) → one process of its interpreter, which
gets a folder with the inputs, a copy of the stages' source as a zip, and nothing else. What comes back is judged as
somebody else's data: bounded, parsed, and every object by its digest.

Rules: `step`, `values` and all that they import run on the lock's packages, so that none of them imports a library of
the controller (tests/build/hermetic/test_step_imports.py); `process` is the one place that starts the process.
"""
