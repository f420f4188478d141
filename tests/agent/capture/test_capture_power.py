"""Power is lost before every call of the disk: whatever it loses, samples are whole, withdrawn ones are gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lossy_disk import LOSSES, Bytes, LossyDisk, QuickDisk, Tree, lay_out

from captured import PURPOSE, device, now, sample, taken, terms
from muster.agent.capture.consent import read_consent
from muster.agent.capture.owner import choose
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import content_of, sweep, waiting
from muster.agent.capture.terms import read_terms
from muster.agent.folder import DeviceFolder

MOST = 2


class Recorder:
    """Keeps what each loss would leave, at each call, with how far the owner had come."""

    def __init__(self) -> None:
        self.disk: LossyDisk | None = None
        self.step = "begun"
        self.calls = 0
        self.found: dict[tuple[str, str], Tree] = {}

    def __call__(self, _name: str) -> None:
        if self.disk is None:
            return
        self.calls += 1
        for loss in LOSSES:
            tree = self.disk.left(loss, self.calls)
            self.found.setdefault((self.step, repr(tree)), tree)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """Three samples where two have room; withdraw; consent again; one more."""
    path = tmp_path_factory.mktemp("power") / "device"
    path.mkdir(mode=0o700)
    recorder = Recorder()
    disk = LossyDisk(path, recorder)
    place = device(path, terms(most=MOST), disk=disk)
    recorder.disk = disk
    folder = DeviceFolder(path, disk)
    choose(folder, PURPOSE, given=True)
    recorder.step = "given"
    taken(place, *(sample(value) for value in (1, 2, 3)))
    choose(folder, PURPOSE, given=False)
    recorder.step = "withdrawn"
    recorder("after the last call")
    choose(folder, PURPOSE, given=True)
    recorder.step = "given again"
    taken(place, sample(4))
    recorder("after the last call")
    return recorder


@contextmanager
def restarted(tree: Tree, path: Path) -> Iterator[CapturePlace]:
    """The folder as a start after the loss finds it. What is done to it need not last."""
    lay_out(tree, path)
    yield CapturePlace.of(DeviceFolder(path, QuickDisk()))


def values(place: CapturePlace) -> set[int]:
    """Which samples wait; a torn one would raise."""
    return {int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)}


def test_whatever_is_lost_samples_are_whole_and_withdrawn_ones_are_gone(recorded: Recorder, tmp_path: Path) -> None:
    """What was withdrawn is neither on the disk nor sent, and the server is still to be told."""
    assert recorded.calls > 60
    seen = set()
    for number, ((step, _), tree) in enumerate(recorded.found.items()):
        with restarted(tree, tmp_path / str(number)) as place:
            before = waiting(place)
            assert len(before) <= MOST
            consent = read_consent(place)
            may_go = {one for one in values(place) if consent.given.get(PURPOSE) == before[0].envelope.consent}
            with place.held():
                sweep(place, consent, read_terms(place), now())
            assert values(place) == may_go
            assert len(list(place.contents.iterdir())) == len(list(place.records.iterdir())) == len(may_go)
            if step in ("withdrawn", "given again"):
                assert PURPOSE in consent.withdrawn
                assert may_go <= {4}
                assert not any(one[:4] in {bytes([value, 0, 0, 0]) for value in (1, 2, 3)} for one in contents(tree))
            if step == "given":
                assert PURPOSE in consent.given or PURPOSE in consent.withdrawn
            seen.add((step, tuple(sorted(may_go))))
    assert {("given", (1, 2)), ("given", (2, 3)), ("withdrawn", ()), ("given again", (4,))} <= seen


def contents(tree: Tree) -> list[bytes]:
    """What the disk holds of samples, before anything looks at it."""
    capture = tree["capture"]
    assert not isinstance(capture, Bytes)
    folder = capture["contents"]
    assert not isinstance(folder, Bytes)
    return [file.data for file in folder.values() if isinstance(file, Bytes)]
