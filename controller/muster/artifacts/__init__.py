"""Bytes under their digest: the content-addressed store, snapshots, bundles, and how frames become answers.

Rules of this package: whatever is read is verified before it is used; whatever is written is complete or absent.
Build and devices share it, so that both normalise, compare and unpack with the same code.
"""
