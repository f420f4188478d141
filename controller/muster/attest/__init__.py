"""Statements about artifacts: signing, verification, and the keys for both.

Rules of this package: a signature is checked before what it signs is read; private keys are never logged or shown;
no network. Devices import it, so that it needs `cryptography` and nothing heavier.
"""
