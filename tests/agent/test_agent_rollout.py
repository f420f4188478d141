"""The agent's main job: first release, the next one, and back."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from agent_simulator import BRIGHT, GREY, WINDOW_SECONDS, Bench, build, hash_of

from muster.kinds.desired import Halt


def test_the_first_release_goes_through_every_phase(bench: Bench) -> None:
    """Each phase is reported once, in order; after the window the release is confirmed and then healthy."""
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    assert bench.tick().problem is None
    assert bench.state.trial is not None
    bench.tick(WINDOW_SECONDS)
    assert bench.state.trial is None
    bench.tick()
    phases = ["offered", "downloaded", "verified", "loaded", "activated", "confirmed", "healthy"]
    assert [(phase, None) for phase in phases] == bench.story(first)
    assert hash_of(first) == bench.running
    sequences = [report.sequence for report in bench.server.reports]
    assert list(range(1, len(sequences) + 1)) == sequences


def test_reports_carry_the_fixed_keys_of_what_was_loaded(bench: Bench) -> None:
    """A steady report speaks of the bytes that the session was made of."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    report = bench.server.reports[-1]
    assert hash_of(first) == report.model_hash
    assert first.entry(1).config_version == report.config_version
    assert report.delegate_active == "CPUExecutionProvider"
    assert report.p50_ms is not None
    assert report.p95_ms is not None
    assert report.p50_ms <= report.p95_ms
    assert report.load_time_ms is not None
    assert report.peak_ram_mb is not None
    assert report.peak_ram_mb > 10
    assert report.thermal_state == "nominal"
    assert report.downloads == 1
    assert report.inferences > 0


def test_a_newer_release_replaces_the_confirmed_one_only_after_its_window(bench: Bench) -> None:
    """While the trial runs, the former release stays confirmed, and its files stay."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2)], artifacts=(second,))
    bench.tick()
    assert hash_of(second) == bench.running
    assert first.artifact == bench.state.confirmed.artifact
    assert bench.agent.device.slots.has(first.artifact)
    bench.tick(WINDOW_SECONDS - 5)
    assert bench.state.trial is not None
    bench.tick(5)
    assert second.artifact == bench.state.confirmed.artifact
    assert first.artifact == bench.state.previous.artifact
    assert ("rolled-back", "recalled") not in bench.story(first)


def test_a_revert_returns_to_the_kept_release_without_a_download(bench: Bench) -> None:
    """A higher generation that names the old digest: no artifact is fetched, and the counter does not move."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first, second)
    bench.server.requests.clear()
    bench.repository.publish(3, [first.entry(3)], artifacts=(first,))
    bench.tick()
    assert hash_of(first) == bench.running
    assert not [path for _, path in bench.server.requests if path.endswith(".tar")]
    bench.tick()
    report = bench.server.reports[-1]
    assert (report.phase, report.downloads, report.generation) == ("healthy", 2, 3)
    assert bench.story(second)[-1] == ("rolled-back", "recalled")


def test_a_halted_trial_is_left_at_once(bench: Bench) -> None:
    """A suspension sends the device back to its confirmed release, before the health window ends."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2), first.entry(1)], artifacts=(first, second))
    bench.tick()
    halt = Halt(release=second.release, artifact=second.artifact, reason="too many failures")
    bench.repository.publish(3, [first.entry(1)], artifacts=(first,), halted=(halt,))
    bench.tick()
    assert hash_of(first) == bench.running
    assert bench.state.trial is None
    assert bench.story(second)[-1] == ("rolled-back", "recalled")
    assert bench.story(first)[-1] == ("healthy", None)


def test_a_halted_confirmed_release_is_left_for_the_one_before(bench: Bench) -> None:
    """Even if nothing else is on offer, the device goes to what it keeps."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first, second)
    halt = Halt(release=second.release, artifact=second.artifact, reason="too many failures")
    bench.repository.publish(3, [], halted=(halt,))
    assert bench.tick().problem == "nothing_desired"
    assert hash_of(first) == bench.running


def test_a_recalled_release_that_is_named_again_is_tried_again_without_a_download(bench: Bench) -> None:
    """Going forward to a kept, newer release needs a health window, but no bytes."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first, second)
    bench.repository.publish(3, [first.entry(3)])
    bench.tick()
    bench.repository.publish(4, [second.entry(4), first.entry(3)], artifacts=(second,))
    bench.tick()
    assert bench.state.trial.slot.artifact == second.artifact
    assert first.artifact == bench.state.confirmed.artifact
    bench.tick(WINDOW_SECONDS)
    assert second.artifact == bench.state.confirmed.artifact
    assert bench.agent.device.state.downloads == 2


def test_a_newer_release_during_a_trial_leaves_the_confirmed_slot_alone(bench: Bench) -> None:
    """Never stage over the last confirmed slot: a second trial replaces the first, not what is trusted."""
    first, second, third = build("1.0.0"), build("1.1.0", sharpness=9), build("1.2.0", sharpness=10)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2)], artifacts=(second,))
    bench.tick()
    bench.repository.publish(3, [third.entry(3)], artifacts=(third,))
    bench.tick()
    assert third.artifact == bench.state.trial.slot.artifact
    assert first.artifact == bench.state.confirmed.artifact
    bench.tick()
    assert sorted(path.name for path in bench.folder.slots.iterdir()) == sorted(
        built.artifact.removeprefix("sha256:") for built in (first, third)
    )


@pytest.mark.parametrize("share", [0, 400_000, 1_000_000])
def test_the_device_computes_its_own_bucket(bench: Bench, share: int) -> None:
    """Whether a device is in the first 40 % follows from its id and the release's salt alone."""
    from muster.plan.assignment import bucket

    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2, ppm=share), first.entry(1)], artifacts=(second, first))
    bench.tick()
    expected = second if bucket(second.release, "device-1") < share else first
    assert hash_of(expected) == bench.running


def test_a_document_without_a_release_for_the_device_changes_nothing(bench: Bench) -> None:
    """Never converge to empty: the model keeps running, and the report says why nothing else does."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [])
    assert bench.tick().problem == "nothing_desired"
    assert hash_of(first) == bench.running
    assert bench.story(first)[-1] == ("healthy", "nothing_desired")


def test_an_older_generation_is_refused(bench: Bench) -> None:
    """A server that publishes an older document under newer metadata moves nothing."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first, since=5)
    bench.repository.publish(4, [second.entry(4)], artifacts=(second,))
    assert bench.tick().problem == "generation_older"
    assert hash_of(first) == bench.running
    assert bench.state.generation == 5


def test_a_poll_without_news_costs_one_request(bench: Bench) -> None:
    """Nothing but the timestamp is asked for, with its tag."""
    bench.start()
    bench.confirm(build("1.0.0"))
    for has_etags in (True, False):
        bench.server.has_etags = has_etags
        bench.tick()
        bench.server.requests.clear()
        bench.tick()
        assert bench.server.requests == [("GET", "/tuf/metadata/timestamp.json"), ("POST", "/v1/reports")]


def test_a_new_root_is_followed(bench: Bench) -> None:
    """A device that was set up with the first root accepts what the second one vouches for."""
    from tuf.api.metadata import Metadata, Root

    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    root = Metadata[Root].from_bytes(bench.repository.root)
    from securesystemslib.signer import CryptoSigner

    old = bench.repository.signers["timestamp"]
    bench.repository.signers["timestamp"] = new = CryptoSigner.generate_ed25519()
    root.signed.revoke_key(old.public_key.keyid, "timestamp")
    root.signed.add_key(new.public_key, "timestamp")
    root.signed.version = 2
    bench.repository._sign(root.signed, "2.root.json")
    second = build("1.1.0", sharpness=9)
    bench.repository.publish(2, [second.entry(2)], artifacts=(second,))
    assert bench.tick().problem is None
    assert hash_of(second) == bench.running


def test_frozen_metadata_keeps_the_model_running(bench: Bench) -> None:
    """Expired metadata is told apart from a server that is away; nothing is followed, everything runs."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [], life=timedelta(seconds=-1))
    assert bench.tick().problem == "metadata_expired"
    assert hash_of(first) == bench.running
    assert bench.story(first)[-1] == ("healthy", "metadata_expired")


def test_metadata_of_another_key_is_refused(bench: Bench) -> None:
    """Whoever cannot sign for the timestamp role changes nothing."""
    from securesystemslib.signer import CryptoSigner

    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.repository.signers["timestamp"] = CryptoSigner.generate_ed25519()
    bench.repository.publish(2, [])
    assert bench.tick().problem == "metadata_invalid"
    assert hash_of(first) == bench.running


def test_with_a_camera_the_window_waits_for_frames(bench: Bench) -> None:
    """Twenty answers at least: a share of nothing says nothing."""
    bench.frames, bench.frames_per_tick = BRIGHT, 5
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    for _ in range(3):
        bench.tick(WINDOW_SECONDS)
        assert bench.state.trial is not None
    bench.tick(WINDOW_SECONDS)
    assert bench.state.trial is None
    assert bench.server.reports[-1].confident_ppm == 1_000_000


def test_low_confidence_in_the_window_sends_the_device_back(bench: Bench) -> None:
    """The field is judged by the field: frames that the new release is not sure of take it back."""
    bench.frames, bench.frames_per_tick = np.concatenate([BRIGHT] * 3 + [GREY]), 40
    sure, unsure = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.frames = BRIGHT
    bench.start()
    bench.confirm(sure)
    bench.repository.publish(2, [unsure.entry(2), sure.entry(1)], artifacts=(unsure, sure))
    bench.model.worker._camera._frames = np.concatenate([BRIGHT] * 3 + [GREY])
    bench.tick()
    assert hash_of(unsure) == bench.running
    bench.tick(WINDOW_SECONDS)
    assert hash_of(sure) == bench.running
    assert bench.story(unsure)[-1] == ("rolled-back", "low_confidence")
    bench.tick()
    assert hash_of(sure) == bench.running
    assert bench.story(sure)[-1] == ("healthy", None)
    assert bench.agent.device.state.downloads == 2
