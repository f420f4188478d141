"""What several tests of publishing begin with."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from publishing import NOW, YEAR_OFF_LINE, Site
from securesystemslib.signer import CryptoSigner

from muster.apply.publish import Publisher
from muster.apply.tuf_keys import ROLES, TufKeys


@pytest.fixture(scope="session")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site a year and 40 roots after generation 1, every tenth with four new keys. `then/` beside it: the start.

    To be copied, not changed.
    """
    folder = tmp_path_factory.mktemp("aged")
    site = Site.at(folder / "now")
    site.publish(1, "1.0.0")
    shutil.copytree(site.folder, folder / "then")
    keys = site.keys
    for number in range(YEAR_OFF_LINE):
        roles = ROLES if number % 10 == 0 else ("root",)
        keys = TufKeys(keys.signers, {role: CryptoSigner.generate_ed25519() for role in roles})
        following = {role: signer.public_key for role, signer in keys.following.items()}
        Publisher(site.public, keys).rotate(following, NOW + number * timedelta(days=9))
        keys = TufKeys(keys.signers | keys.following)
    return Site(site.folder, keys)
