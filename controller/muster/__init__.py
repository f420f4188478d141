"""Muster: GitOps for models that run on devices."""

__version__ = "0.1.0"
