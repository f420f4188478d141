"""Run by a test: takes samples, with evictions, and withdraws; killed before each touch of the disk, one by one.

Prints one JSON line for each kill: what a start afterwards finds, before and after its sweep.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

from captured import PURPOSE, device, now, sample, taken, terms
from muster.agent.capture.consent import read_consent
from muster.agent.capture.owner import choose
from muster.agent.capture.queue import content_of, sweep, waiting
from muster.agent.capture.terms import read_terms
from muster.agent.folder import DeviceFolder

TOUCHES = {"os.rename", "os.remove", "os.mkdir", "tempfile.mkstemp"}
KILLED = 9


def act(folder: Path) -> None:
    """Three samples where two have room; withdraw; consent again; one more."""
    place = device(folder, terms(most=2))
    choose(DeviceFolder(folder), PURPOSE, given=True)
    taken(place, *(sample(value) for value in (1, 2, 3)))
    choose(DeviceFolder(folder), PURPOSE, given=False)
    choose(DeviceFolder(folder), PURPOSE, given=True)
    taken(place, sample(4))


def changes(event: str, arguments: tuple[object, ...]) -> bool:
    """What only reads, or takes the lock, leaves the disk as it was."""
    if event == "open":
        return (
            isinstance(arguments[2], int) and bool(arguments[2] & os.O_CREAT) and not str(arguments[0]).endswith("lock")
        )
    return event in TOUCHES


def child(folder: Path, point: int) -> None:
    left = point

    def on_touch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if changes(event, arguments) and str(folder) in str(arguments[0]):
            left -= 1
            if left < 0:
                os._exit(KILLED)

    sys.addaudithook(on_touch)
    act(folder)


def found(folder: Path) -> dict[str, object]:
    """What is there, as whoever starts next sees it."""
    from muster.agent.capture.place import CapturePlace

    place = CapturePlace.of(DeviceFolder(folder))
    if not place.path.exists():
        return {}
    before = [int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)]
    with place.held():
        consent = read_consent(place)
        sweep(place, consent, read_terms(place), now())
    after = [int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)]
    files = sum(1 for kind in (place.records, place.contents) for _ in kind.iterdir())
    rest = sorted(path.name for path in place.path.glob(".incoming-*"))
    return {
        "before": before, "after": after, "files": files, "rest": rest,
        "given": PURPOSE in consent.given, "withdrawn": PURPOSE in consent.withdrawn,
    }  # fmt: skip


def main() -> None:
    warnings.simplefilter("ignore")
    root = Path(sys.argv[1])
    act(root / "warm")
    for point in range(10_000):
        folder = root / f"device-{point}"
        process = os.fork()
        if process == 0:
            child(folder, point)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        sys.stdout.write(json.dumps({"point": point, "ended": ended, **found(folder)}) + "\n")
        if ended != KILLED:
            break


if __name__ == "__main__":
    main()
