"""The evidence package: everything that is known of one release, in one archive that proves itself.

Rules: nothing here asks a repository, a network or a clock; what can be derived is derived again by whoever verifies,
and must be the same bytes; every byte of the archive is covered by one signature.
"""
