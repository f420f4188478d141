"""Run by a test: takes samples on a server and erases some; killed before each touch of a file, one by one.

Prints one JSON line for each kill: what lies there, and what there is after everybody asked once more.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from sqlalchemy import Engine, select

from captured import PURPOSE, SAMPLE, terms
from muster.apply.ledger import events
from muster.kinds.capture import CaptureRecord
from muster.kinds.digest import digest_of
from muster.observe.storage import captures, open_storage
from muster.serve.capture.store import CaptureStore

TOUCHES = {"os.rename", "os.remove", "os.mkdir"}
KILLED = 9
CONTENT = b"x" * 64


def record(number: int) -> CaptureRecord:
    return CaptureRecord.model_validate_json(json.dumps(SAMPLE | {"id": f"{number:032x}"}))


def send(store: CaptureStore, device_id: str, number: int) -> None:
    """As a device does: the record, then chunks from where the server is."""
    said = record(number)
    progress = store.begin(device_id, said, terms())
    while not progress.complete:
        start = progress.received
        progress = store.add(device_id, said.id, start, CONTENT[start : start + 40])


def act(engine: Engine, state: Path) -> None:
    """The same content from two devices, of which one withdraws."""
    store = CaptureStore(engine, state / "captures")
    send(store, "dev-1", 1)
    send(store, "dev-2", 2)
    store.erase("dev-1", PURPOSE)
    store.sweep()


def changes(event: str, arguments: tuple[object, ...]) -> bool:
    """What only reads, or takes the lock, leaves the disk as it was."""
    if event == "open":
        return (
            isinstance(arguments[2], int) and bool(arguments[2] & os.O_CREAT) and not str(arguments[0]).endswith("lock")
        )
    return event in TOUCHES


def child(state: Path, point: int) -> None:
    left = point

    def on_touch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if changes(event, arguments) and str(state / "captures") in str(arguments[0]):
            left -= 1
            if left < 0:
                os._exit(KILLED)

    engine = open_storage(state)
    sys.addaudithook(on_touch)
    act(engine, state)


def found(engine: Engine, state: Path) -> dict[str, object]:
    """Ids of whole samples, whether each has its content, and files."""
    store = CaptureStore(engine, state / "captures")
    with engine.connect() as connection:
        asked = select(captures.c.id).where(captures.c.complete).order_by(captures.c.id)
        ids = list(connection.execute(asked).scalars())
        erased = sum(event.body["count"] for event in events(connection))
    whole = all(digest_of(store.content(name)) == SAMPLE["digest"] for name in ids)
    files = [path.name for path in (state / "captures").rglob("*") if path.is_file() and path.name != "lock"]
    return {"ids": [int(name, 16) for name in ids], "whole": whole, "files": files, "erased": erased}


def main() -> None:
    root = Path(sys.argv[1])
    open_storage(root / "empty").dispose()
    for point in range(10_000):
        state = root / f"state-{point}"
        shutil.copytree(root / "empty", state)
        process = os.fork()
        if process == 0:
            child(state, point)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        engine = open_storage(state)
        before = found(engine, state)
        act(engine, state)
        sys.stdout.write(json.dumps({"ended": ended, "before": before, "after": found(engine, state)}) + "\n")
        engine.dispose()
        if ended != KILLED:
            break


if __name__ == "__main__":
    main()
