"""check: how the files of a fleet fit each other, and that no device is left without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.check.references import complaints
from muster.source.load import Loader
from scratch_fleet import fleet_files, pin, release_yaml
from scratch_repository import write

RELEASE = "releases/reader/1.0.0.yaml"
NEXT = "releases/reader/1.1.0.yaml"
CLASS = "devices/classes/cam.yaml"
CANARY = "devices/cohorts/canary.yaml"
FLEET = "devices/cohorts/fleet.yaml"
POLICY = "policies/default.yaml"


def findings(folder: Path, files) -> list[tuple[str, str, str]]:
    """(place, severity, rule) of every complaint."""
    write(folder, files)
    return [(str(one.place), one.severity, one.rule) for one in Loader().work_tree(folder).findings]


def edited(path: str, old: str, new: str):
    files = fleet_files()
    assert old in files[path]
    return files | {path: files[path].replace(old, new, 1)}


def moved(path: str, to: str):
    files = fleet_files()
    files[to] = files.pop(path)
    return files


def superseding(**supersedes: str):
    """Releases by version; each supersedes the given version."""
    files = fleet_files()
    for name, older in supersedes.items():
        version = name.removeprefix("v").replace("_", ".")
        cohorts = None if version == "1.0.0" else {}
        text = release_yaml(version, cohorts=cohorts)
        files[f"releases/reader/{version}.yaml"] = text.replace(
            "  source:\n", f'  supersedes: "{older}"\n  source:\n', 1
        )
    return files


SECOND_TIER = """
    - name: research
      steps: ["100%"]
      soak: 1m
      health: {window: 1m, pollInterval: 1m}
"""
GATE = """
      gates:
        - {name: fast, metric: p95-latency, comparator: "<=", threshold: 1ms, deviceClass: gone}
"""

# ruff: noqa: E501 - a table with one case per line reads better
CASES = {
    "path against name": (
        moved(RELEASE, "releases/other/1.0.0.yaml"),
        [("releases/other/1.0.0.yaml:5:9", "error", "path")],
    ),
    "path against version": (
        moved(RELEASE, "releases/reader/2.0.0.yaml"),
        [("releases/reader/2.0.0.yaml:5:9", "error", "path")],
    ),
    "class under another name": (
        moved(CLASS, "devices/classes/x.yaml"),
        [("devices/classes/x.yaml:5:9", "error", "path")],
    ),
    "two releases with one version": (
        fleet_files(**{NEXT: release_yaml()}),
        [(f"{NEXT}:5:9", "error", "path"), (f"{NEXT}:6:12", "error", "duplicate")],
    ),
    "two classes of one name": (
        fleet_files(**{"devices/classes/x.yaml": fleet_files()[CLASS]}),
        [("devices/classes/x.yaml:5:9", "error", "duplicate"), ("devices/classes/x.yaml:5:9", "error", "path")],
    ),
    "two cohorts of one order": (edited(FLEET, "order: 2", "order: 1"), [(f"{FLEET}:7:10", "error", "duplicate")]),
    "no policy": (
        {path: text for path, text in fleet_files().items() if path != POLICY},
        [("policies", "error", "policy")],
    ),
    "two policies": (
        fleet_files(**{"policies/more.yaml": fleet_files()[POLICY].replace("name: default", "name: more")}),
        [("policies/more.yaml:5:9", "error", "policy")],
    ),
    "a tier twice": (
        edited(POLICY, "pollInterval: 1m", "pollInterval: 1m" + SECOND_TIER),
        [(f"{POLICY}:14:13", "error", "duplicate")],
    ),
    "steps that fall": (edited(POLICY, '["100%"]', '["50%", "25%", "100%"]'), [(f"{POLICY}:9:14", "error", "steps")]),
    "steps that do not end": (edited(POLICY, '["100%"]', '["50%"]'), [(f"{POLICY}:9:14", "error", "steps")]),
    "gate for a class that is gone": (
        edited(POLICY, "pollInterval: 1m", "pollInterval: 1m" + GATE),
        [(f"{POLICY}:15:92", "error", "dangling")],
    ),
    "gate that compares times with a share": (
        edited(POLICY, "pollInterval: 1m", "pollInterval: 1m" + GATE.replace("1ms, deviceClass: gone", "0%")),
        [(f"{POLICY}:15:74", "error", "gate")],
    ),
    "superseded release is gone": (superseding(v1_0_0="0.9.0"), [(f"{RELEASE}:9:15", "error", "dangling")]),
    "supersedes itself": (superseding(v1_0_0="1.0.0"), [(f"{RELEASE}:9:15", "error", "cycle")]),
    "supersedes in a circle": (
        superseding(v1_0_0="1.2.0", v1_1_0="1.0.0", v1_2_0="1.1.0"),
        [(f"{RELEASE}:9:15", "error", "cycle")],
    ),
    "a tail into a circle": (
        superseding(v1_0_0="1.1.0", v1_1_0="1.0.0", v1_2_0="1.1.0"),
        [(f"{RELEASE}:9:15", "error", "cycle")],
    ),
    "device class is gone": (
        edited(RELEASE, "deviceClass: cam", "deviceClass: gone"),
        [(f"{CLASS}:25:12", "error", "empty"), (f"{RELEASE}:51:20", "error", "dangling")],
    ),
    "cohort is gone": (
        edited(RELEASE, "canary:", "canaries:"),
        [(f"{CLASS}:25:12", "error", "empty"), (f"{RELEASE}:68:7", "error", "dangling")],
    ),
    "tier is not in the policy": (
        edited(RELEASE, "tier: research", "tier: regulated"),
        [(f"{RELEASE}:8:9", "error", "dangling")],
    ),
    "runtime the class has not": (
        edited(RELEASE, 'version: "1.31.1"', 'version: "1.30.0"'),
        [(f"{RELEASE}:53:16", "error", "runtime")],
    ),
    "provider the class has not": (
        edited(RELEASE, "CPUExecutionProvider", "CUDAExecutionProvider"),
        [(f"{RELEASE}:54:17", "error", "runtime")],
    ),
    "one class twice": (
        edited(
            RELEASE,
            "  inference:\n",
            '    - {deviceClass: cam, name: onnxruntime, version: "1.31.1", provider: CPUExecutionProvider}\n  inference:\n',
        ),
        [(f"{RELEASE}:55:21", "error", "duplicate")],
    ),
    "larger than the class's budget": (
        edited(RELEASE, "size: 2000", "size: 1048577"),
        [(f"{RELEASE}:48:11", "error", "budget")],
    ),
    "a model the class does not list": (
        edited(CLASS, "[reader]", "[other]"),
        [(f"{CLASS}:25:12", "error", "empty"), (f"{RELEASE}:51:20", "error", "model")],
    ),
    "pin of the config is wrong": (
        edited(RELEASE, "shape: [1, 8, 8]", "shape: [1, 8, 9]"),
        [(f"{RELEASE}:64:18", "error", "pin")],
    ),
    "calibration judges itself": (edited(RELEASE, pin(5), pin(4)), [(f"{RELEASE}:32:17", "error", "snapshots")]),
    "golden is the evaluation": (edited(RELEASE, pin(6), pin(5)), [(f"{RELEASE}:34:15", "error", "snapshots")]),
    "no cohorts at all": (
        {path: text for path, text in fleet_files().items() if "cohorts/" not in path},
        [
            ("devices/cohorts", "error", "empty"),
            (f"{RELEASE}:68:7", "error", "dangling"),
            (f"{RELEASE}:69:7", "error", "dangling"),
        ],
    ),
    "last cohort has a selector": (
        edited(FLEET, "order: 2", "order: 2\n  selector: {matchLabels: {a: b}}"),
        [(f"{FLEET}:8:13", "error", "empty")],
    ),
    "a cohort that takes all before the last": (
        edited(CANARY, "  selector:\n    matchLabels:\n      ring: canary\n", ""),
        [(f"{CANARY}:7:3", "error", "order")],
    ),
    "no release at all": (
        {path: text for path, text in fleet_files().items() if path != RELEASE},
        [(f"{CLASS}:25:12", "error", "empty")],
    ),
    "one cohort below 100%": (
        edited(RELEASE, 'fleet: "100%"', 'fleet: "99.9999%"'),
        [(f"{CLASS}:25:12", "error", "empty")],
    ),
    "second model without a release": (
        edited(CLASS, "[reader]", "[reader, other]"),
        [(f"{CLASS}:25:20", "error", "empty")],
    ),
}


@pytest.mark.parametrize(("files", "expected"), CASES.values(), ids=CASES.keys())
def test_complaint(tmp_path, files, expected):
    """Each misfit gives its complaint, at its place, and no other."""
    assert findings(tmp_path, files) == expected


def test_nothing_to_complain_of(tmp_path):
    """The small fleet fits."""
    assert findings(tmp_path, fleet_files()) == []


def test_may_be_empty_says_so(tmp_path):
    """A class may be left without a model if it says so."""
    files = {path: text for path, text in fleet_files().items() if path != RELEASE}
    files[CLASS] += "  mayBeEmpty: true\n"
    assert findings(tmp_path, files) == []


def test_cohorts_may_get_different_releases(tmp_path):
    """The newest release may be whole in one cohort while an older one is whole in the others."""
    files = fleet_files(
        **{RELEASE: release_yaml(cohorts={"fleet": "100%"}), NEXT: release_yaml("1.1.0", cohorts={"canary": "100%"})}
    )
    assert findings(tmp_path, files) == []


def test_a_release_that_reaches_nobody_is_warned_of_only(tmp_path):
    """Pins cannot change, and classes move on: an old release at 0% does not stop the fleet."""
    old = release_yaml("0.9.0", cohorts={}).replace('version: "1.31.1"', 'version: "1.20.0"')
    assert findings(tmp_path, fleet_files(**{"releases/reader/0.9.0.yaml": old})) == [
        ("releases/reader/0.9.0.yaml:53:16", "warning", "runtime")
    ]
    assert Loader().work_tree(tmp_path).fleet is not None


def test_the_hint_gives_the_right_pin(tmp_path):
    """A wrong configVersion is answered with the right one, which then passes."""
    files = edited(RELEASE, "shape: [1, 8, 8]", "shape: [1, 8, 9]")
    write(tmp_path, files)
    hint = Loader().work_tree(tmp_path).findings[0].hint
    right = hint.split('"')[1]
    start = files[RELEASE].index("configVersion: ")
    end = files[RELEASE].index("\n", start)
    mended = files | {RELEASE: files[RELEASE][:start] + f"configVersion: {right}" + files[RELEASE][end:]}
    assert findings(tmp_path, mended) == []


@pytest.mark.parametrize("broken", [CLASS, CANARY, FLEET, POLICY, RELEASE])
def test_a_broken_file_has_no_consequences_elsewhere(tmp_path, broken):
    """References to what an unreadable file declares are taken as good."""
    assert findings(tmp_path, fleet_files() | {broken: "a: [\n"}) == [(f"{broken}:2:1", "error", "syntax")]


def test_long_lineages_take_linear_time():
    """A chain of thousands of releases is walked once, without recursion."""
    from muster.check.lineage import lineage_complaints
    from muster.kinds.release import Release
    from muster.source.validate import validate
    from muster.source.yaml_events import parse

    first = validate(RELEASE, Release, parse(release_yaml().encode()))
    chain = {}
    for number in range(5_000):
        metadata = first.metadata.model_copy(update={"version": f"0.0.{number}"})
        spec = first.spec.model_copy(update={"supersedes": f"0.0.{(number + 1) % 5_000}"})
        chain[f"releases/reader/0.0.{number}.yaml"] = first.model_copy(update={"metadata": metadata, "spec": spec})
    (found,) = lineage_complaints(chain)
    assert found.rule == "cycle"
    assert len(found.message) < 1_000


def test_nothing_declared():
    """An empty fleet has no policy and no cohort, and says both."""
    assert [complaint.rule for complaint in complaints({})] == ["policy", "empty"]
