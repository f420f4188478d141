"""Whatever is wrong with a release or on its way: the confirmed model keeps running, and the device says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from agent_simulator import BRIGHT, WINDOW_SECONDS, Bench, Built, answers, build, hash_of

from muster.agent.promotion import MOST_ATTEMPTS
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, MANIFEST, MODEL
from muster.artifacts.golden import dump_expected
from muster.attest.keys import new_private_key
from muster.kinds.digest import digest_of


def _tar(files: dict[str, bytes]) -> bytes:
    """A tar of any names, which `pack_bundle` would refuse."""
    from muster.artifacts.bundle import _END, _header

    return b"".join(
        [part for name, data in files.items() for part in (_header(name, len(data)), data, bytes(-len(data) % 512))]
        + [_END]
    )


def _renamed(built: Built) -> Built:
    files = {("weights.onnx" if name == MODEL else name): data for name, data in built.files.items()}
    return replace(built, tar=_tar(dict(sorted(files.items()))))


def _added(built: Built) -> Built:
    return replace(built, tar=_tar(dict(sorted({**built.files, "extra.py": b"import os"}.items()))))


def _altered(built: Built) -> Built:
    """The bundle holds other bytes than those that were signed."""
    changed = bytearray(built.files[CONFIG])
    changed[-3] ^= 1
    return replace(
        built, files={**built.files, CONFIG: bytes(changed)}, signed={n: digest_of(d) for n, d in built.files.items()}
    )


def _unlisted(built: Built) -> Built:
    """Signed as it is, but the manifest lists another model file."""
    return replace(built, files={**built.files, MODEL: built.files[MODEL] + b"\x00"})


def _other_name_signed(built: Built) -> Built:
    names = {("model2.onnx" if name == MODEL else name): digest_of(data) for name, data in built.files.items()}
    return replace(built, signed=names)


def _extra_name_signed(built: Built) -> Built:
    return replace(built, signed={**{n: digest_of(d) for n, d in built.files.items()}, "more.bin": digest_of(b"")})


def _relabelled(built: Built) -> Built:
    """Properly signed files of 1.1.0, offered as 9.9.9."""
    return replace(built, version="9.9.9")


CASES: dict[str, tuple[str, Callable[[], Built]]] = {
    "the tar holds a renamed file": ("bad_bundle", lambda: _renamed(build("1.1.0", sharpness=9))),
    "the tar holds an added file": ("bad_bundle", lambda: _added(build("1.1.0", sharpness=9))),
    "the tar is cut short": ("bad_bundle", lambda: replace(b := build("1.1.0", sharpness=9), tar=b.data[:-512])),
    "a file differs from the signed one": ("bad_signature", lambda: _altered(build("1.1.0", sharpness=9))),
    "a file was signed under another name": ("bad_signature", lambda: _other_name_signed(build("1.1.0", sharpness=9))),
    "a signed file is missing": ("bad_signature", lambda: _extra_name_signed(build("1.1.0", sharpness=9))),
    "the key is not trusted": ("bad_signature", lambda: build("1.1.0", sharpness=9, key=new_private_key())),
    "there is no signature": ("bad_signature", lambda: build("1.1.0", sharpness=9, unsigned=True)),
    "the manifest lists other files": ("bad_manifest", lambda: _unlisted(build("1.1.0", sharpness=9))),
    "the files are those of another release": ("bad_manifest", lambda: _relabelled(build("1.1.0", sharpness=9))),
    "the model is no model": ("load_failed", lambda: build("1.1.0", model=b"\x08\x08garbage")),
    "the golden answers differ": ("golden_mismatch", lambda: build("1.1.0", sharpness=9, expected=_wrong_answers())),
    "the provider is not there": (
        "provider_missing",
        lambda: build("1.1.0", sharpness=9, provider="CoreMLExecutionProvider"),
    ),
}


def _wrong_answers() -> bytes:
    import numpy as np

    frames = np.arange(32, dtype=np.uint8).reshape(8, 4) % 17
    return dump_expected(answers(frames, 2.0))


@pytest.mark.parametrize("case", CASES)
def test_a_release_that_cannot_run_leaves_the_confirmed_one_running(bench: Bench, case: str) -> None:
    """Reported once as failed with its code, quarantined, and nothing of it stays on the disk."""
    code, make = CASES[case]
    good, bad = build("1.0.0"), make()
    bench.start()
    bench.confirm(good)
    bench.repository.publish(2, [bad.entry(2), good.entry(1)], artifacts=(good, bad))
    bench.tick()
    assert ("failed", code) == bench.story(bad)[-1]
    assert hash_of(good) == bench.running
    assert {bad.artifact: 2} == bench.state.quarantine
    bench.server.requests.clear()
    assert bench.tick().problem is None
    assert not [path for _, path in bench.server.requests if path.endswith((".tar", ".sig"))]
    assert [good.artifact.removeprefix("sha256:")] == [path.name for path in bench.folder.slots.iterdir()]
    assert list(bench.folder.staging.iterdir()) == []
    assert bench.story(good)[-1] == ("healthy", None)


def test_a_flipped_byte_in_the_download_is_never_activated(bench: Bench) -> None:
    """A server that alters bytes is asked again a few times, then not for an hour. The artifact is not to blame for
    it: its digest is signed, so it is not quarantined, and taken when it comes as it was published.
    """
    good, bad = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(good)
    bench.repository.publish(2, [bad.entry(2)], artifacts=(bad,))
    path = next(p for p in bench.repository.files if p.endswith(f"{bad.artifact.removeprefix('sha256:')}.tar"))
    whole = bench.repository.files[path]
    altered = bytearray(whole)
    altered[700] ^= 0x10
    bench.repository.files[path] = bytes(altered)
    for _ in range(MOST_ATTEMPTS - 1):
        assert bench.tick().problem == "bad_digest"
        assert bench.story(bad) == [("offered", None)]
    bench.tick()
    assert bench.story(bad)[-1] == ("failed", "bad_digest")
    assert hash_of(good) == bench.running
    bench.server.requests.clear()
    assert bench.tick().problem == "bad_digest"
    assert bench.tick(3_500).problem == "bad_digest"
    assert not [path for _, path in bench.server.requests if path.endswith(".tar")]
    assert bench.agent.device.state.downloads == 1
    assert bench.state.quarantine == {}
    for pause in (100, 1, 1):
        assert bench.tick(pause).problem == "bad_digest"
    bench.server.requests.clear()
    bench.repository.files[path] = whole
    assert bench.tick(7_000).problem == "bad_digest"
    assert not [path for _, path in bench.server.requests if path.endswith(".tar")]
    assert bench.tick(300).problem is None
    assert hash_of(bad) == bench.running


def test_a_mirror_that_recovers_is_believed(bench: Bench) -> None:
    """One altered answer is thrown away; the next, whole one is used."""
    good = build("1.0.0")
    bench.repository.publish(1, [good.entry(1)], artifacts=(good,))
    path = next(p for p in bench.repository.files if p.endswith(".tar"))
    whole = bench.repository.files[path]
    bench.repository.files[path] = bytes(len(whole))
    bench.start()
    assert bench.tick().problem == "bad_digest"
    bench.repository.files[path] = whole
    assert bench.tick().problem is None
    assert hash_of(good) == bench.running


def test_a_quarantined_artifact_is_tried_again_only_when_it_is_named_on_purpose(bench: Bench) -> None:
    """A newer generation alone does not lift it; an entry that came back since does."""
    good = build("1.0.0")
    fixed = build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(good)
    badly_signed = replace(fixed, key=new_private_key())
    bench.repository.publish(2, [fixed.entry(2), good.entry(1)], artifacts=(badly_signed,))
    bench.tick()
    assert bench.story(fixed)[-1] == ("failed", "bad_signature")
    bench.repository.publish(3, [fixed.entry(2), good.entry(1)], artifacts=(fixed,))
    bench.tick()
    assert hash_of(good) == bench.running
    bench.repository.publish(4, [fixed.entry(4), good.entry(1)], artifacts=(fixed,))
    bench.tick()
    assert hash_of(fixed) == bench.running


def test_below_a_quarantined_release_the_next_entry_is_taken(bench: Bench) -> None:
    """A device that comes back late jumps to the head; if that fails here, it takes the one below, not the old one."""
    old, middle, head = build("1.0.0"), build("1.1.0", sharpness=9), build("1.2.0", model=b"\x08\x08garbage")
    bench.start()
    bench.confirm(old)
    bench.repository.publish(2, [head.entry(2), middle.entry(2)], artifacts=(head, middle))
    bench.tick()
    assert hash_of(middle) == bench.running
    assert old.artifact == bench.state.confirmed.artifact


def test_a_model_that_fails_on_frames_is_left_at_once(bench: Bench) -> None:
    """No need to wait for the window to end: one frame without an answer is enough."""
    import numpy as np

    bench.frames, bench.frames_per_tick = BRIGHT, 25
    good, bad = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(good)
    bench.model.worker._camera._frames = np.ones((1, 5), np.uint8)
    bench.repository.publish(2, [bad.entry(2), good.entry(1)], artifacts=(bad,))
    bench.tick()
    assert bench.story(bad)[-1] == ("rolled-back", "inference_failed")
    assert hash_of(good) == bench.running


def test_a_first_release_that_fails_its_window_leaves_nothing_running(bench: Bench) -> None:
    """There is nothing to go back to, and what failed does not go on."""
    import numpy as np
    from agent_simulator import GREY

    bench.frames, bench.frames_per_tick = np.concatenate([GREY, BRIGHT]), 25
    bad = build("1.0.0")
    bench.repository.publish(1, [bad.entry(1)], artifacts=(bad,))
    bench.start()
    bench.tick()
    bench.tick(WINDOW_SECONDS)
    assert bench.story(bad)[-1] == ("rolled-back", "low_confidence")
    assert bench.running is None
    assert bench.server.reports[-1].model_hash is None


def test_a_server_that_goes_away_in_mid_refresh_is_asked_again_as_often_as_before(bench: Bench, monkeypatch) -> None:
    """The declared interval holds although the new document did not arrive with the new metadata."""
    monkeypatch.setattr("muster.agent.agent.DEFAULT_POLL_SECONDS", 999.0)
    first, second = build("1.0.0"), build("1.1.0")
    bench.start()
    bench.confirm(first)
    declared = bench.tick().poll_interval
    bench.repository.publish(2, [second.entry(2)], artifacts=(second,))
    bench.server.away_for = "/desired/"
    outcome = bench.tick()
    assert outcome.problem == "server_away"
    assert outcome.poll_interval == declared


def test_a_server_that_is_away_changes_nothing_on_the_device(bench: Bench) -> None:
    """It serves, it judges its trial, and it tells everything when the server is back."""
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    bench.tick()
    bench.server.away = True
    outcome = bench.tick(WINDOW_SECONDS)
    assert outcome.away
    assert first.artifact == bench.state.confirmed.artifact
    for _ in range(5):
        bench.tick()
    assert hash_of(first) == bench.running
    bench.server.away = False
    assert bench.tick().waiting_reports == 0
    assert ("confirmed", None) in bench.story(first)
    sequences = [report.sequence for report in bench.server.reports]
    assert sorted(set(sequences)) == sequences


def test_a_download_goes_on_where_it_stopped_also_after_a_restart(bench: Bench) -> None:
    """Only what is missing is asked for, and the counter counts one whole download."""
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    bench.server.cut_after = 1_024
    assert bench.tick().problem == "server_away"
    bench.start()
    assert bench.tick().problem == "server_away"
    bench.server.cut_after = None
    bench.start()
    assert bench.tick().problem is None
    assert bench.server.ranges == ["bytes=1024-", "bytes=2048-"]
    assert hash_of(first) == bench.running
    assert bench.agent.device.state.downloads == 1


def test_a_server_without_ranges_starts_the_download_again(bench: Bench) -> None:
    """An answer 200 to a range is the whole file, not the rest of it."""
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    bench.server.cut_after = 1_024
    bench.tick()
    bench.server.cut_after, bench.server.ignores_range = None, True
    assert bench.tick().problem is None
    assert hash_of(first) == bench.running


@pytest.mark.parametrize("leftover", [b"wrong bytes" * 90, b"x" * 100_000], ids=["altered", "too long"])
def test_a_wrong_part_of_a_download_is_thrown_away(bench: Bench, leftover: bytes) -> None:
    """Whatever lies in the staging folder, what is activated is the published artifact."""
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    bench.server.cut_after = 512
    bench.tick()
    part = next(bench.folder.staging.glob("*.part"))
    part.write_bytes(leftover)
    bench.server.cut_after = None
    bench.tick()
    bench.tick()
    assert hash_of(first) == bench.running


def test_a_full_disk_postpones_and_is_told(bench: Bench) -> None:
    """Nothing is downloaded that could not be unpacked; the artifact is not to blame."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.free_bytes = 1_000
    bench.repository.publish(2, [second.entry(2)], artifacts=(second,))
    assert bench.tick().problem == "disk_full"
    assert bench.state.quarantine == {}
    assert not [path for _, path in bench.server.requests if second.artifact[7:] in path]
    assert bench.story(first)[-1] == ("healthy", "disk_full")
    bench.free_bytes = 2**40
    assert bench.tick().problem is None
    assert hash_of(second) == bench.running


def test_a_document_that_cannot_be_read_changes_nothing(bench: Bench) -> None:
    """Signed nonsense is still nonsense."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.repository.put("desired/meter-reader/meter-a.json", b'{"kind": "Surprise"}')
    bench.repository.sign()
    assert bench.tick().problem == "document_invalid"
    assert hash_of(first) == bench.running


def test_a_kept_release_whose_files_rotted_is_fetched_again(bench: Bench) -> None:
    """A revert to a damaged slot costs a download, not the model."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first, second)
    bench.agent.device.slots.place(first.artifact).joinpath(GOLDEN_EXPECTED).write_bytes(b"rot")
    bench.repository.publish(3, [first.entry(3)], artifacts=(first,))
    bench.tick()
    assert hash_of(first) == bench.running
    assert bench.agent.device.state.downloads == 3


@pytest.mark.parametrize("name", [MODEL, CONFIG, MANIFEST, GOLDEN_EXPECTED])
def test_a_confirmed_release_whose_files_rotted_gives_way_to_the_one_before(bench: Bench, name: str) -> None:
    """After a boot with a damaged slot the device serves with what is whole, says so, and repairs itself."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first, second)
    place = bench.agent.device.slots.place(second.artifact) / name
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    bench.server.away = True
    bench.start()
    assert hash_of(first) == bench.running
    bench.server.away = False
    assert bench.tick().problem == "slot_damaged"
    assert hash_of(second) == bench.running
    assert bench.state.trial is not None
