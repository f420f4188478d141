"""What can be declared: resources, quantities, digests, and the Fleet that they add up to.

Rules of this package: no I/O, no clock, no randomness, no state. Values are frozen; every model refuses unknown
fields and coerces nothing, so that what a reviewer reads in YAML is what the controller sees.
"""
