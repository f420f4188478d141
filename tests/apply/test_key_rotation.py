"""Replacing TUF keys: devices follow by themselves, a cut-off rotation is completed, and lost keys are no dead end."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from publishing import NOW, YEAR_OFF_LINE, Device, Site
from test_publish_crash import run_killed_at
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata

from muster.apply import ledger
from muster.apply.key_rotation import RETIRED, Wish, rotate_keys
from muster.apply.key_setup import describe_keys, initialise_keys
from muster.apply.key_watch import KeyUse
from muster.apply.state_folder import hold_state
from muster.apply.tuf_keys import ONLINE, ROLES, TufKeys, key_path, next_key_path
from muster.cli import exit_code_of
from muster.kinds.errors import Refused, Unusable
from muster.observe.storage import open_storage

DAY = timedelta(days=1)
CHANGES = {"os.link", "os.rename"}
"""What changes a state folder for good; between two of them there is nothing to tell apart."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A controller that published generation 1."""
    made = Site.at(tmp_path / "site")
    made.publish(1, "1.0.0")
    return made


def again(site: Site) -> Site:
    """The controller after a restart: it loads the keys that are there."""
    return Site(site.folder, TufKeys.load(site.folder / "keys"))


def rotated(site: Site, *roles: str, **wish: object) -> Site:
    rotate_keys(site.folder, Wish(roles, **wish), NOW)
    return again(site)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def first_root(site: Site) -> bytes:
    return (site.public / "metadata" / "1.root.json").read_bytes()


@pytest.mark.parametrize("role", [(role,) for role in ROLES] + [ROLES], ids="+".join)
def test_devices_follow(site, tmp_path, role):
    """Known and new devices take what the new keys sign; the replaced key alone signs nothing that counts."""
    old = again(site)
    known = Device(tmp_path / "known", site)
    known.poll()
    before = site.publisher().key_ids()
    site = rotated(site, *role)
    after = site.publisher().key_ids()
    assert {name for name in ROLES if before[name] != after[name]} == set(role)
    assert known.poll().generation == 1
    site.publish(2, "1.1.0")
    assert known.poll().generation == Device(tmp_path / "fresh", site, first_root(site)).poll().generation == 2
    with pytest.raises(Refused, match="trusts another"):
        old.publish(3, "1.2.0")


def test_a_year_off_line(aged, tmp_path):
    """A device that knows root 1 alone follows to root 41, past keys that nobody has any more; and in one poll."""
    then, at = Site(aged.folder.with_name("then"), TufKeys()), NOW + 365 * DAY
    bootstrap = first_root(then)
    Device(tmp_path / "away", then, bootstrap).poll()
    site = Site(tmp_path / "aged", aged.keys)
    shutil.copytree(aged.folder, site.folder)
    site.publish(2, "1.1.0", at)
    assert site.publisher().root_version() == YEAR_OFF_LINE + 1
    assert Device(tmp_path / "away", site, bootstrap).poll(at).generation == 2
    newest = (site.public / "metadata" / f"{YEAR_OFF_LINE + 1}.root.json").read_bytes()
    for name, root in (("fresh", bootstrap), ("new", newest)):
        assert Device(tmp_path / name, site, root).poll(at).generation == 2


def test_no_moment_in_which_something_does_not_verify(tmp_path):
    """Killed at any step: known and fresh devices read the generation, the controller runs, the call completes it."""
    done = False
    for step in range(1, 200):
        site = Site.at(tmp_path / str(step))
        site.publish(1, "1.0.0")
        known = Device(site.folder / "known", site)
        known.poll()
        wish = Wish(("root", "timestamp"), since=1)
        done = run_killed_at(
            step, site.folder, lambda site=site, wish=wish: rotate_keys(site.folder, wish, NOW), CHANGES
        )
        assert known.poll().generation == Device(site.folder / "fresh", site).poll().generation == 1
        again(site).publisher().refresh(NOW + DAY)
        assert known.poll(NOW + DAY).generation == 1
        rotate_keys(site.folder, wish, NOW + DAY)
        assert again(site).publisher().root_version() == 2
        assert not list((site.folder / "keys").glob("*.next.pem"))
        assert len(list((site.folder / "keys" / RETIRED).iterdir())) == 2
        again(site).publish(2, "1.1.0", NOW + DAY)
        assert known.poll(NOW + DAY).generation == 2
        if done:
            break
    assert done
    assert step > 7


def test_a_repeated_call_changes_nothing(site):
    """With `since`, the same command again finds that the root went on, and writes no byte."""
    rotated(site, "targets", since=1)
    before = bytes_of(site.folder)
    found = rotate_keys(site.folder, Wish(("targets",), since=1), NOW)
    assert (found.root, found.replaced) == (2, ())
    assert before == bytes_of(site.folder)


@pytest.mark.parametrize("lost", [("targets",), ("timestamp",), ("snapshot", "timestamp"), ("targets", *ONLINE)])
def test_a_lost_key_is_replaced(site, tmp_path, lost):
    """While the root's key is there, any other may be gone: published is what was, signed by the new ones."""
    known = Device(tmp_path / "known", site)
    known.poll()
    for role in lost:
        key_path(site.folder / "keys", role).unlink()
    with pytest.raises(Refused, match="was not said to be lost") as refused:
        rotate_keys(site.folder, Wish(lost), NOW)
    assert f"--lost {lost[0]}" in refused.value.hint
    assert not list((site.folder / "keys").glob("*.next.pem"))
    site = rotated(site, *lost, lost=lost)
    assert known.poll().generation == Device(tmp_path / "fresh", site, first_root(site)).poll().generation == 1
    site.publish(2, "1.1.0")
    assert known.poll().generation == 2


def test_a_lost_key_and_a_kill(tmp_path):
    """Here a device may have to wait; it takes nothing wrong, and the same call again ends it."""
    lost = ("targets", "timestamp")
    done, waited = False, 0
    for step in range(1, 200):
        site = Site.at(tmp_path / str(step))
        site.publish(1, "1.0.0")
        known = Device(site.folder / "known", site)
        known.poll()
        for role in lost:
            key_path(site.folder / "keys", role).unlink()
        wish = Wish(lost, lost)
        done = run_killed_at(
            step, site.folder, lambda site=site, wish=wish: rotate_keys(site.folder, wish, NOW), CHANGES
        )
        try:
            assert known.poll().generation == 1
        except UnsignedMetadataError:
            waited += 1
        if not done:
            rotate_keys(site.folder, wish, NOW)
        again(site).publish(2, "1.1.0")
        assert known.poll().generation == Device(site.folder / "fresh", site, first_root(site)).poll().generation == 2
        if done:
            break
    assert done
    assert waited > 0


def test_a_stolen_online_key_is_outrun(site, tmp_path):
    """A thief of the timestamp's key raised its version beyond all; the next root takes that back from devices."""
    device = Device(tmp_path / "device", site)
    place = site.public / "metadata" / "timestamp.json"
    own = place.read_bytes()
    forged = Metadata.from_bytes(own)
    forged.signed.version = 2**40
    forged.sign(site.keys.signer("timestamp"))
    place.write_bytes(forged.to_bytes())
    device.poll()
    place.write_bytes(own)
    site = rotated(site, "timestamp")
    site.publish(2, "1.1.0")
    assert device.poll().generation == 2


def test_the_root_key_elsewhere(site, tmp_path):
    """On a medium of its own it is used and replaced there, and never lies in the controller's folder."""
    medium = tmp_path / "medium"
    medium.mkdir(mode=0o700)
    key_path(site.folder / "keys", "root").rename(key_path(medium, "root"))
    with pytest.raises(Refused, match="the root's key is not here") as refused:
        rotate_keys(site.folder, Wish(("targets",)), NOW)
    assert "--elsewhere" in refused.value.hint
    found = rotate_keys(site.folder, Wish(("root", "targets"), elsewhere=medium), NOW)
    assert {key.role: key.path.parent for key in found.replaced} == {"root": medium, "targets": site.folder / "keys"}
    assert not list((site.folder / "keys").rglob("tuf-root*"))
    assert key_path(medium, "root").stat().st_mode & 0o777 == 0o600
    again(site).publish(2, "1.1.0")
    assert Device(tmp_path / "device", site, first_root(site)).poll().generation == 2
    with pytest.raises(Unusable, match="nowhere is no folder"):
        rotate_keys(site.folder, Wish(("root",), elsewhere=tmp_path / "nowhere"), NOW)


def test_uses_are_told_before_they_happen(site):
    """The old and the new root key are named for the same bytes, and the first use comes before anything is written."""
    before, told = bytes_of(site.public), []

    def watch(use: KeyUse, _at: object) -> None:
        if not told:
            assert before == bytes_of(site.public)
        told.append(use)

    rotate_keys(site.folder, Wish(("root",)), NOW, watch)
    assert [use.subject for use in told] == ["2.root.json version 2"] * 2
    assert len({use.signed for use in told}) == 1
    assert len({use.key for use in told}) == 2


def test_refused(site, tmp_path):
    """Beside a running controller, and before there is a root; both leave everything as it was."""
    before = bytes_of(site.folder)
    with hold_state(site.folder), pytest.raises(Refused, match="another controller uses"):
        rotate_keys(site.folder, Wish(("root",)), NOW)
    assert before.keys() == bytes_of(site.folder).keys() - {"controller.lock"}
    bare = tmp_path / "bare"
    TufKeys.create(bare / "keys")
    with pytest.raises(Refused, match="no root yet"):
        rotate_keys(bare, Wish(("root",)), NOW)
    assert not list((bare / "keys").glob("*.next.pem"))


def test_the_number_of_roots_is_bounded(site, monkeypatch):
    """What devices would not follow is not signed."""
    monkeypatch.setattr("muster.apply.tuf_metadata._MOST_ROOTS", 3)
    site = rotated(rotated(site, "root"), "root")
    with pytest.raises(Refused, match="root 3 is the last that devices follow"):
        rotate_keys(site.folder, Wish(("root",)), NOW)


def test_verb(tmp_path, capsys):
    """`keys rotate` tells ids and places as text and JSON, no secret; `keys show` tells of one that was cut off."""
    state = tmp_path / "state"
    initialise_keys(state, None, "controller", NOW)
    command = ["keys", "rotate", "root", "timestamp", "--state", str(state), "--since", "1"]
    assert exit_code_of(command) == 0
    text = capsys.readouterr().out
    assert text.endswith("done: the newest root is 2\n")
    assert f"in {state}/keys/tuf-root.pem" in text
    assert exit_code_of([*command, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"root": 2, "completed": False, "replaced": []}
    assert exit_code_of(["keys", "rotate", "snapshot", "--state", str(state), "-o", "json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["replaced"]
    assert said["new"] == TufKeys.load(state / "keys").key_ids["snapshot"]
    assert Path(said["retired"]).stat().st_mode & 0o777 == 0o600
    key_path(state / "keys", "timestamp").rename(next_key_path(state / "keys", "timestamp"))
    shutil.copy2(next_key_path(state / "keys", "timestamp"), key_path(state / "keys", "timestamp"))
    assert "tuf-timestamp.next" in [key.name for key in describe_keys(state)]
    assert exit_code_of(["keys", "rotate", "--state", str(state)]) == 2
    assert exit_code_of(["keys", "rotate", "root", "--lost", "root", "--state", str(state)]) == 2


def test_the_ledger_tells_of_each_use(tmp_path, capsys):
    """Where the controller has a ledger, the verb enters who signed the next root, and all that it signed besides."""
    initialise_keys(tmp_path, None, "controller", NOW)
    engine = open_storage(tmp_path)
    try:
        before = TufKeys.load(tmp_path / "keys").key_ids["root"]
        assert exit_code_of(["keys", "rotate", "root", "--state", str(tmp_path), "-o", "json"]) == 0
        (said,) = json.loads(capsys.readouterr().out)["replaced"]
        with engine.connect() as connection:
            told = [event.body for event in ledger.events(connection) if event.event == "key-used"]
        assert [(use["role"], use["subject"]) for use in told] == [("tuf-root", "2.root.json version 2")] * 2
        assert {before, said["new"]} == {use["key"] for use in told}
    finally:
        engine.dispose()
