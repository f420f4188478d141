"""What is checked in the bytes of a model before anything loads it.

Rules of this package: bytes are bounded and walked before they are parsed, so that no parser meets a count or a depth
that nobody looked at; nothing here computes with a tensor, runs a kernel or opens a path that a model names, but for
data that a manifest lists; whatever is wrong is a finding with a name. `admit` is the only way to a `SafeModel`, and
a session of the runtime takes nothing else.
"""
