"""Statements about artifacts: signing, verification, and the keys for both.

Rules of this package: a signature is checked before what it signs is read; private keys are never logged or shown;
no network. What devices import (signatures over files, and their keys) needs `cryptography` and nothing heavier.
"""
