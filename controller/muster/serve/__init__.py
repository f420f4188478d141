"""HTTP: devices, probes, metrics, and what the command line asks.

Rules of this package: it decides nothing and changes nothing that is desired. It holds no state that a second
replica would need: everything is read from the storage and from published files.
"""
