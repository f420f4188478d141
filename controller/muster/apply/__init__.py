"""Executing: prepare artifacts, publish signed desired state, commit reverts, keep the ledger.

Rules of this package: no choices (those stand in the plan); every effect is idempotent and keyed, and may be cut off
at any point and done again.
"""
