"""One packaged fleet for all tests of this folder: none of them changes it."""

from __future__ import annotations

import pytest

from muster.attest.keys import key_id, public_half
from muster.attest.package.trust_root import TrustRoot
from packages import PackagedFleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> PackagedFleet:
    return PackagedFleet(tmp_path_factory.mktemp("packages") / "fleet")


@pytest.fixture(scope="session")
def archive(fleet: PackagedFleet) -> bytes:
    return fleet.export()


@pytest.fixture(scope="session")
def root(fleet: PackagedFleet) -> TrustRoot:
    """Whoever trusts the key that sealed it."""
    pem = public_half(fleet.key)
    return TrustRoot({key_id(pem): pem}, whole=False)
