"""Events in an evidence package: every kind that the ledger knows, if it concerns the release."""

from __future__ import annotations

from pathlib import Path

from muster.apply.ledger import append
from muster.attest.package.ledger_rows import read_rows
from muster.kinds.event_kind import EVENT_KINDS
from muster.observe.storage import open_storage, writing
from muster.review.packaging import gather_package
from packages import AT, NAME, PackagedFleet

ABOUT_NO_RELEASE = ("device", "capture")


def test_every_kind_of_event_about_the_release_is_in_it(fleet: PackagedFleet, tmp_path: Path) -> None:
    """By the fields that the table asks of it; and nothing about another release."""
    bodies = [
        {
            "release": name,
            "subject": name,
            "commit": commit,
            "model": name.partition("/")[0],
            "record": {"release": name},
            "alert": {"release": name},
            "documents": {"m/cam": [{"release": name, "artifact": "sha256:" + "0" * 64}]},
        }
        for name, commit in ((NAME, fleet.commit), ("other/1.0.0", "0" * 40))
    ]
    engine = open_storage(tmp_path / "state")
    with writing(engine) as connection:
        for kind in EVENT_KINDS.values():
            for number, said in enumerate(bodies):
                body = {field: said.get(field, "-") for field in kind.fields}
                append(connection, kind.name, f"{kind.name}/{number}", body, AT)
    engine.dispose()
    members = gather_package(fleet.repository, "main", NAME, tmp_path / "state", AT)
    assert [row.key for row in read_rows(members["ledger.json"])] == [
        f"{kind.name}/0" for kind in EVENT_KINDS.values() if kind.about not in ABOUT_NO_RELEASE
    ]
