"""`muster keys` for devices with an update client: a certificate, and a token that opens a door on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.cli import exit_code_of


def run(*words: str) -> int:
    return exit_code_of(["keys", *words])


def test_the_certificate_of_a_key_is_always_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is printed for devices; the private key never is; a key that is not there is named."""
    state = ("--state", str(tmp_path / "state"))
    assert run("new", "swu", "--use", "packages", *state) == 0
    declared = capfd.readouterr().out
    assert "uses: [packages]" in declared
    printed = []
    for _ in range(2):
        assert run("certificate", "swu", *state) == 0
        printed.append(capfd.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].startswith("-----BEGIN CERTIFICATE-----")
    assert run("certificate", "other", *state) == 2
    assert "swu" in capfd.readouterr().err


def test_the_gateway_token_is_made_once_and_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Only where it lies is told; it is readable by its owner alone."""
    state = ("--state", str(tmp_path / "state"))
    path = tmp_path / "state" / "keys" / "gateway-token"
    assert run("gateway-token", *state) == 0
    token = path.read_text()
    assert run("gateway-token", *state) == 0
    assert (path.read_text(), path.stat().st_mode & 0o777) == (token, 0o600)
    assert token.strip() not in capfd.readouterr().out
