"""Predicates that others defined, made of what Muster knows; each in a module of its own, none signs anything itself.

Rules: no field that its public definition does not know; numbers as decimal strings, because what is signed is
canonical JSON; the same input gives the same predicate.
"""
