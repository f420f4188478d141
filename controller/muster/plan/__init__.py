"""Deciding: (declared, published, suspended, observed, now) → a plan with its reasons.

Rules of this package: nothing here reads a file, a clock, a socket or a random number. Every decision is a function
of its arguments, so that a plan can be computed again later and must come out the same.
"""
