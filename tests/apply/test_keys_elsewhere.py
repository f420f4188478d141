"""What goes on, and what does not, while private keys are kept away from the controller."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from publishing import NOW, PUBLIC, Device, Site
from tuf.api.exceptions import ExpiredMetadataError

from muster.apply.publish import Publisher
from muster.apply.tuf_keys import TufKeys, key_path
from muster.kinds.errors import Refused, Unusable

DAY = timedelta(days=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A controller that published generation 1."""
    made = Site.at(tmp_path / "site")
    made.publish(1, "1.0.0")
    return made


def without(site: Site, *roles: str) -> Site:
    """The same controller after these private keys were taken out of its folder."""
    for role in roles:
        key_path(site.folder / "keys", role).rename(site.folder / f"{role}-in-the-safe.pem")
    return Site(site.folder, TufKeys.load(site.folder / "keys"))


def brought_back(site: Site, *roles: str) -> Site:
    for role in roles:
        (site.folder / f"{role}-in-the-safe.pem").rename(key_path(site.folder / "keys", role))
    return Site(site.folder, TufKeys.load(site.folder / "keys"))


def test_reading_needs_no_private_key(site):
    """With no private key at all, everything that is published is read and verified as before."""
    before = site.publisher()
    reader = Publisher(site.public, TufKeys())
    assert reader.published() == before.published()
    assert reader.published().generation == 1
    (digest,) = reader.published().artifacts
    assert reader.artifact(digest) == before.artifact(digest)
    assert reader.signing_keys() == (PUBLIC,)
    assert (reader.expires(), reader.key_ids()) == (before.expires(), site.keys.key_ids)


def test_reading_without_keys_still_verifies(site, tmp_path):
    """A file that another key signed, or that was altered, is refused by a reader that holds no key."""
    other = Site.at(tmp_path / "other")
    other.publish(1, "1.0.0")
    own = (site.public / "metadata" / "timestamp.json").read_bytes()
    for name, pattern in (("timestamp.json", "timestamp key"), ("1.root.json", "not signed by this controller")):
        place = site.public / "metadata" / name
        mine = place.read_bytes()
        place.write_bytes((other.public / "metadata" / name).read_bytes())
        with pytest.raises(Refused, match=pattern):
            Publisher(site.public, TufKeys()).published()
        place.write_bytes(mine)
    longer = own.replace(b'"expires":"2', b'"expires":"3')
    assert longer != own
    (site.public / "metadata" / "timestamp.json").write_bytes(longer)
    with pytest.raises(Refused, match="its signature does not hold"):
        Publisher(site.public, TufKeys()).published()


def test_nothing_is_signed_without_keys(site):
    """A reader cannot publish, and cannot refresh what is due; what is published stays as it is."""
    reader = Site(site.folder, TufKeys())
    for call in (lambda: reader.publish(2, "1.1.0"), lambda: reader.publisher().refresh(NOW + DAY)):
        with pytest.raises(Unusable, match="nothing can be signed for") as refused:
            call()
        assert refused.value.hint == "bring it back from where it is kept, with mode 0600"
    assert site.publisher().published().generation == 1


def test_publishing_and_refreshing_without_the_root_key(site, tmp_path):
    """For the half year in which the root is not due, a device sees no difference."""
    device = Device(tmp_path / "device", site)
    site = without(site, "root")
    for generation in range(2, 19):
        at = NOW + generation * 10 * DAY
        site.publish(generation, "1.1.0", at)
        assert site.publisher().refresh(at + DAY)
        assert device.poll(at + DAY).generation == generation
    assert not (site.public / "metadata" / "2.root.json").exists()
    assert site.publisher().unrenewable(NOW + 180 * DAY) == {}


def test_a_root_that_is_due_waits_for_its_key(site, tmp_path, caplog):
    """It is named with its end, and logged once; all else is refreshed; with the key back, it is signed again."""
    bootstrap = (site.public / "metadata" / "1.root.json").read_bytes()
    site = without(site, "root")
    at = NOW + 200 * DAY
    publisher = site.publisher()
    with caplog.at_level(logging.WARNING, "muster"):
        assert publisher.refresh(at)
        publisher.refresh(at)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"tuf-root.pem is not here, and what it signed ends at {(NOW + 365 * DAY).isoformat()}")
    assert publisher.unrenewable(at) == {"root": NOW + 365 * DAY}
    assert Device(tmp_path / "device", site, bootstrap).poll(at).generation == 1
    site = brought_back(site, "root")
    assert site.publisher().refresh(at)
    assert site.publisher().unrenewable(at) == {}
    site.publisher().refresh(NOW + 370 * DAY)
    assert Device(tmp_path / "late", site, bootstrap).poll(NOW + 370 * DAY).generation == 1
    assert (site.public / "metadata" / "2.root.json").exists()


def test_an_expired_root_is_believed_by_nobody(site, tmp_path):
    """Without its key for a whole year: what the warning was about."""
    site = without(site, "root")
    at = NOW + 366 * DAY
    site.publisher().refresh(at)
    with pytest.raises(ExpiredMetadataError):
        Device(tmp_path / "device", site).poll(at)


def test_without_the_targets_key_nothing_is_published(site, tmp_path):
    """What is there is kept fresh until the targets' own signature ends; nothing new, and no halt, gets out."""
    device = Device(tmp_path / "device", site)
    site = without(site, "root", "targets")
    before = sorted(path.name for path in (site.public / "targets").rglob("*"))
    with pytest.raises(Unusable, match=r"tuf-targets\.pem is not in the key folder"):
        site.publish(2, "1.1.0")
    assert before == sorted(path.name for path in (site.public / "targets").rglob("*"))
    for days in range(1, 90, 4):
        site.publisher().refresh(NOW + days * DAY)
        assert device.poll(NOW + days * DAY).generation == 1
    assert site.publisher().unrenewable(NOW + 50 * DAY) == {"targets": NOW + 90 * DAY}
    site = brought_back(site, "targets")
    site.publish(2, "1.1.0", NOW + 89 * DAY)
    assert device.poll(NOW + 89 * DAY).generation == 2


def test_a_first_root_needs_every_key(tmp_path):
    """Before there is a root, a missing key is no key that is kept elsewhere."""
    keys = TufKeys.create(tmp_path / "keys")
    short = TufKeys({role: signer for role, signer in keys.signers.items() if role != "root"})
    with pytest.raises(Unusable, match="nothing can be signed for root"):
        Publisher(tmp_path / "public", short).init_root(NOW)
    assert not (tmp_path / "public" / "metadata" / "1.root.json").exists()


def test_a_key_that_is_here_must_be_the_one_that_counts(site, tmp_path):
    """With the root's key away, another online key than the root names is still refused."""
    other = TufKeys.create(tmp_path / "other")
    mixed = TufKeys({**without(site, "root").keys.signers, "timestamp": other.signers["timestamp"]})
    with pytest.raises(Refused, match="trusts another timestamp key than this controller has"):
        Publisher(site.public, mixed).published()
