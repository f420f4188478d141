"""Package signatures: functions of the key, which OpenSSL verifies."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from muster.attest.keys import new_private_key
from muster.attest.package_signature import package_certificate, sign_package
from muster.kinds.errors import Unusable


def test_signature_and_certificate_follow_from_the_key() -> None:
    """Made twice, they are the same bytes; of another key, or over other data, they are not."""
    key, other = new_private_key(), new_private_key()
    assert package_certificate(key) == package_certificate(key) != package_certificate(other)
    assert sign_package(b"text", key) == sign_package(b"text", key)
    assert len({sign_package(b"text", key), sign_package(b"text", other), sign_package(b"other", key)}) == 3


def test_the_certificate_asks_for_no_clock() -> None:
    """It holds from 1970 on, without an end, for signing code and nothing else."""
    found = x509.load_pem_x509_certificate(package_certificate(new_private_key()))
    assert found.not_valid_before_utc.year == 1970
    assert found.not_valid_after_utc.year == 9999
    assert found.serial_number > 0
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(("change", "code"), [(b"", 0), (b"!", 4)])
def test_openssl_verifies_what_was_signed_and_nothing_else(tmp_path: Path, change: bytes, code: int) -> None:
    """As SWUpdate does: detached, against that one certificate."""
    key = new_private_key()
    (tmp_path / "swu.crt").write_bytes(package_certificate(key))
    (tmp_path / "sig").write_bytes(sign_package(b"text", key))
    (tmp_path / "text").write_bytes(b"text" + change)
    command = "openssl cms -verify -in sig -inform DER -content text -CAfile swu.crt -purpose any -binary -out out"
    ended = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == code, ended.stderr


def test_another_kind_of_key_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(Unusable):
        sign_package(b"text", b"no key")
