"""The ledger as others can check it: segments of rows, signed checkpoints, and what git holds of both.

Imports nothing from `apply`: whoever has a clone can verify without a controller.
"""
