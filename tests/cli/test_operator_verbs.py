"""Verbs that ask a controller, against a real server over a storage that tests fill."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleets import PUBLIC_KEY, make_class, make_cohort, make_fleet, make_policy, make_release
from muster.apply.drift import find_drift, record_drift
from muster.cli import exit_code_of
from muster.kinds.canonical import canonical_json
from muster.kinds.desired import Halt
from muster.observe.status import write_status
from muster.observe.storage import writing
from muster.plan.describe import release_pins
from muster.plan.planner import Publish, make_plan
from muster.plan.world import Published, World
from scratch_repository import commit_all, git, write
from sites import SECRET, Site, report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMIT = "c" * 40
RELEASE = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
RUNS = {"model_hash": RELEASE.spec.stages.quantized, "config_version": RELEASE.spec.config_version}


@pytest.fixture
def site(module_site: Site) -> Site:
    """1.0.0 is published to everyone, and the loop says that it is in step."""
    module_site.empty()
    fleet = make_fleet(RELEASE)
    step = make_plan(fleet, World(signer=PUBLIC_KEY, prepared=frozenset({RELEASE.pins})), NOW).actions[0]
    assert isinstance(step, Publish)
    module_site.published = Published(step.generation, step.documents, frozenset(step.artifacts))
    loop = {"at": NOW.isoformat(), "commit": COMMIT, "sync": "Synced", "ready": True, "reason": "every condition holds"}
    with writing(module_site.engine) as connection:
        write_status(connection, "loop", loop, NOW)
        write_status(connection, "releases", release_pins(fleet), NOW)
    return module_site


def device(site: Site, device_id: str, phase: str | None, device_class: str = "cam-day") -> None:
    """A device that is enrolled, and says that it runs 1.0.0 if a phase is given."""
    site.enrol(device_id, device_class=device_class)
    if phase:
        said = report(1, device_id=device_id, phase=phase, **RUNS)
        assert site.report(said, token=f"{device_id}:{SECRET}")[0] == 200


def ask(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a verb."""
    code = exit_code_of([*arguments, "--server", site.url, "--state", str(site.state), "-o", "json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else None


def wait(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    return ask(site, capsys, "wait", "--timeout", "1ms", *arguments)


def test_running_is_not_yet_healthy(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A device that runs the release on trial, or confirmed it, is waited for until it says that it is healthy."""
    device(site, "a", "healthy")
    device(site, "b", "confirmed")
    code, said = wait(site, capsys)
    assert (code, len(said["missing"])) == (1, 1)
    assert said["missing"][0].startswith("1 of 2 reporting devices of cam-day are not healthy")
    site.report(report(2, device_id="b", **RUNS), token=f"b:{SECRET}")
    assert wait(site, capsys) == (0, {"holds": True, "missing": [], "silent": [], "commit": COMMIT})


def test_a_silent_device_is_named_and_not_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """It may lie in a drawer; that nobody of a class reports is another matter."""
    device(site, "a", "healthy")
    device(site, "drawer", None)
    code, said = wait(site, capsys)
    assert (code, said["silent"]) == (0, ["drawer (meter-reader)"])
    device(site, "low", None, "cam-lowlight")
    code, said = wait(site, capsys)
    assert code == 1
    assert said["missing"] == ["none of 1 devices of cam-lowlight has ever reported on meter-reader"]


def test_another_commit_is_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit is named by its id or the beginning of it; a branch is no commit."""
    device(site, "a", "healthy")
    assert wait(site, capsys, "--commit", "c" * 7)[0] == 0
    code, said = wait(site, capsys, "--commit", "d" * 40)
    assert (code, said["holds"]) == (1, False)
    assert wait(site, capsys, "--commit", "main")[0] == 2


def test_every_device_of_every_page_is_listed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a device runs several models, and so fills several rows of a page."""
    for number in range(3):
        site.enrol(f"dev-{number}", models=["meter-reader", "other-model"])
    from muster.serve.client import ControllerClient

    found = [item["deviceId"] for item in ControllerClient(site.url, site.state).pages("/v1/devices", limit=2)]
    assert found == [f"dev-{number}" for number in range(3) for _ in range(2)]
    assert len(ask(site, capsys, "get", "devices")[1]) == 6


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """1.0.0 is declared, as it is published."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for path, resource in {
        "releases/meter-reader/1.0.0.yaml": RELEASE,
        "devices/classes/cam-day.yaml": make_class("cam-day"),
        "devices/classes/cam-lowlight.yaml": make_class("cam-lowlight"),
        "devices/cohorts/canary.yaml": make_cohort("canary", 1, ring="canary"),
        "devices/cohorts/fleet.yaml": make_cohort("fleet", 2),
        "policies/default.yaml": make_policy(),
    }.items():
        write(folder, {path: canonical_json(resource.model_dump(mode="json", exclude_none=True))})
    commit_all(folder, "1.0.0 for everyone")
    return folder


def test_what_is_declared_is_listed_as_data(site: Site, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole digests, lists and nulls; what is cut short for people is not cut for programs."""
    code, rows = ask(site, capsys, "get", "releases", "--repository", str(repository))
    assert (code, len(rows)) == (0, 1)
    assert rows[0]["artifact"] == RELEASE.spec.artifact.digest
    assert rows[0]["classes"] == ["cam-day", "cam-lowlight"]
    assert rows[0]["supersedes"] is None
    assert rows[0]["rollout"] == {"canary": "100%", "fleet": "100%"}
    assert ask(site, capsys, "get", "classes", "--repository", str(repository))[1][0]["models"] == ["meter-reader"]
    cohorts = ask(site, capsys, "get", "cohorts", "--repository", str(repository))[1]
    assert [item["matchLabels"] for item in cohorts] == [{"ring": "canary"}, {}]


def test_what_is_published_is_listed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Per model and class: the entries, with the share of each cohort."""
    code, said = ask(site, capsys, "get", "published")
    assert (code, said["generation"], len(said["documents"])) == (0, 1, 2)
    assert said["documents"][0]["entries"] == [
        {
            "release": "meter-reader/1.0.0",
            "artifact": RELEASE.spec.artifact.digest,
            "since": 1,
            "ppm": {"canary": 1_000_000, "fleet": 1_000_000},
        }
    ]


def test_a_release_is_described_with_what_the_fleet_shows(
    site: Site, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Per class: what is desired, who runs it, what was counted; and the newest verdicts and waits about it."""
    device(site, "a", "healthy")
    device(site, "b", "rolled-back")
    other = {"release": "meter-reader/1.1.0", "outcome": "harm", "reason": "another"}
    verdict = {"release": "meter-reader/1.0.0", "outcome": "holds", "reason": "1 of 2"}
    wait = {"step": "judge", "subject": "meter-reader/1.0.0 in cam-day", "reason": "few", "liftedBy": "more"}
    with writing(site.engine) as connection:
        write_status(connection, "plan", {"verdicts": [verdict, other], "waits": [wait]}, NOW)
    command = ("describe", "release", "meter-reader/1.0.0", "--repository", str(repository))
    code, said = ask(site, capsys, *command)
    day = said["classes"][0]
    assert (code, said["verdicts"], said["waits"], said["unknown"]) == (0, [verdict], [wait], None)
    assert (day["deviceClass"], day["devices"], day["running"], day["tried"]) == ("cam-day", 2, 2, 1)
    assert (day["recalled"], day["phases"]) == (1, {"healthy": 1})
    assert day["desired"] == {"canary": 1_000_000, "fleet": 1_000_000}
    assert exit_code_of([*command, "--server", site.url, "--state", str(site.state)]) == 0
    text = capsys.readouterr().out
    assert "judged: meter-reader/1.0.0 holds: 1 of 2" in text
    assert "canary 100%, fleet 100%" in text


def test_a_release_is_described_where_no_controller_answers(
    site: Site, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What git says is shown all the same, and that the rest is not known."""
    command = ["describe", "release", "meter-reader/1.0.0", "--repository", str(repository)]
    for state in (site.state, repository / "nowhere"):
        assert exit_code_of([*command, "--server", "http://127.0.0.1:9", "--state", str(state)]) == 0
        out = capsys.readouterr().out
        assert RELEASE.spec.artifact.digest in out
        assert "how far it came is not known" in out


@pytest.mark.parametrize("what", ["release", "device"])
def test_what_is_described_has_a_name(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without one it is bad usage, with a hint where names are listed."""
    assert exit_code_of(["describe", what]) == 2
    assert f"muster get {what}s" in capsys.readouterr().err


def test_an_empty_list_is_a_sentence(site: Site, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing at all would look like a fault."""
    site.published = Published()
    git(repository, "rm", "-rq", "releases", "devices/classes")
    git(repository, "commit", "-qm", "Nothing declared")
    where = ["--server", site.url, "--state", str(site.state), "--repository", str(repository)]
    for what, sentence in {
        "releases": "no releases are declared at HEAD",
        "devices": "no device is enrolled",
        "published": "nothing is published yet",
        "status": "no device is enrolled",
    }.items():
        assert exit_code_of(["get", what, *where]) == 0
        assert sentence in capsys.readouterr().out


def test_a_suspended_release_is_shown_as_halted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """In the table of what is published, with the reason."""
    key = ("meter-reader", "cam-day")
    document = site.published.documents[key]
    halt = Halt(release="meter-reader/1.0.0", artifact=RELEASE.spec.artifact.digest, reason="it did harm")
    site.published = Published(2, {key: document.model_copy(update={"entries": (), "halted": (halt,)})})
    assert exit_code_of(["get", "published", "--server", site.url, "--state", str(site.state)]) == 0
    assert "meter-reader/1.0.0\thalted: it did harm" in capsys.readouterr().out


def test_drift_is_listed_and_described(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What runs that was never declared, how many and who; 1 while it is not ignored, and 0 without."""
    device(site, "a", "healthy")
    assert ask(site, capsys, "get", "drift") == (0, {"items": [], "of": 0})
    site.enrol("b", device_class="cam-day")
    foreign = {**RUNS, "model_hash": "sha256:" + "f" * 64}
    assert site.report(report(1, device_id="b", phase="healthy", **foreign), token=f"b:{SECRET}")[0] == 200
    with writing(site.engine) as connection:
        record_drift(connection, find_drift(connection, make_fleet(RELEASE), NOW), NOW)
    code, said = ask(site, capsys, "get", "drift")
    assert (code, [(item["devices"], item["names"]) for item in said["items"]]) == (1, [(1, ["b"])])
    assert exit_code_of(["get", "drift", "--server", site.url, "--state", str(site.state)]) == 1
    assert "\tartifact\tffffffffffff\t1\tCorrect\t" in capsys.readouterr().out
    (shown,) = ask(site, capsys, "describe", "device", "b")[1]["models"]
    assert (shown["drift"]["difference"]["field"], shown["drift"]["since"]) == ("artifact", NOW.isoformat())
    assert ask(site, capsys, "describe", "device", "a")[1]["models"][0]["drift"] is None
