"""Impact: a change that falls under a rule of the base changes a document, or says why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fleets import MODEL, make_class, make_fleet, make_release
from muster.check.case import Case
from muster.check.change import Touched, difference
from muster.check.documents.tree import REQUIRED
from muster.check.impact import impact_verdicts
from muster.check.verdict import Verdict
from muster.kinds.fleet import Fleet
from muster.kinds.policy import ImpactRule, Policy
from muster.kinds.pull_request import PullRequest
from muster.kinds.release import Release
from small_documents import DIAGRAM, playbook

BASE, HEAD = "b" * 40, "a" * 40
DRAWN, WRITTEN = "docs/diagrams/update.mmd", "docs/playbooks/accuracy-drop.md"
CODE = "controller/muster/agent/decide.py"
SAYS = "Diagram-Impact: none: only a name inside changes"
PATHS = {"name": "update-logic", "needs": "diagram", "paths": ["controller/muster/agent"], "why": "it is drawn"}
FIELDS = {"name": "inference", "needs": "diagram", "fields": ["spec.inference.input"], "why": "it is drawn"}
CLASSES = {"name": "classes", "needs": "playbook", "fields": ["spec.hardware", "spec.runtime"], "why": "it fails anew"}
OLD = make_release("1.0.0", {"fleet": "100%"})
NEW = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0")


def with_rules(fleet: Fleet, *rules: Mapping[str, object]) -> Fleet:
    """The fleet with these impact rules in its policy."""
    (policy,) = fleet.policies
    impact = tuple(ImpactRule.model_validate(rule) for rule in rules)
    spec = policy.spec.model_copy(update={"impact": impact})
    return replace(fleet, policies=(Policy(metadata=policy.metadata, spec=spec),))


def judged(
    *rules: Mapping[str, object],
    fleets: tuple[Fleet, Fleet] | None = None,
    files: Mapping[str, tuple[str | None, str | None]] | None = None,
    request: PullRequest | None = None,
    unread: bool = False,
) -> list[Verdict]:
    """Verdicts on a change of files (path → text before and after) and fleets."""
    base, head = fleets or (make_fleet(OLD), make_fleet(OLD))
    contents = {CODE: ("old", "new")} if files is None else files
    touched = tuple(
        Touched(path, before and "1" * 40, after and "2" * 40, "100644" if after else None)
        for path, (before, after) in contents.items()
    )
    case = Case(
        difference(with_rules(base, *rules), head, touched),
        request or PullRequest(BASE, HEAD, forge="github"),
        datetime(2026, 1, 1, tzinfo=UTC),
        files={} if unread else {path: after for path, (_, after) in contents.items()},
        base_files={} if unread else {path: before for path, (before, _) in contents.items()},
    )
    return list(impact_verdicts(case))


def asked(body: str = "", forge: str = "github") -> PullRequest:
    """A pull request with this text."""
    return PullRequest(BASE, HEAD, body=body, forge=forge)


def test_nothing_is_asked_of_other_changes() -> None:
    """Without a rule, or outside of all rules, there is no verdict."""
    assert judged() == []
    assert judged(PATHS, files={"README.md": ("a", "b")}) == []
    assert judged(FIELDS, CLASSES) == []


def test_silence_fails_with_both_ways_out() -> None:
    """The verdict names the file, the rule and its reason, and the hint both ways out."""
    (verdict,) = judged(PATHS)
    assert (verdict.rule, verdict.subject, verdict.outcome, verdict.blocks) == ("document/diagram", CODE, "fail", True)
    assert "update-logic: it is drawn" in verdict.message
    assert "docs/diagrams/" in verdict.hint
    assert "`Diagram-Impact: none: <why>`" in verdict.hint


def test_a_reason_passes_and_is_shown() -> None:
    """Whoever reads the verdict reads the reason, too."""
    (verdict,) = judged(PATHS, request=asked(SAYS))
    assert verdict.outcome == "pass"
    assert "only a name inside changes" in verdict.message


@pytest.mark.parametrize("body", [f"{SAYS}\n{SAYS}", "Diagram-Impact: none", f"{SAYS}\u202e"])
def test_a_line_that_does_not_count_fails(body: str) -> None:
    """The verdict says what is wrong with the line."""
    (verdict,) = judged(PATHS, request=asked(body))
    assert verdict.outcome == "fail"
    assert "Diagram-Impact" in verdict.message + verdict.hint


def test_the_line_for_playbooks_is_another() -> None:
    """A reason why no playbook changes says nothing of diagrams."""
    (verdict,) = judged(PATHS, request=asked(SAYS.replace("Diagram", "Playbook")))
    assert verdict.outcome == "fail"


def test_without_a_pull_request_nobody_knows() -> None:
    """Nobody read the text that could give the reason: inconclusive, which holds the change."""
    (verdict,) = judged(PATHS, request=asked(forge=""))
    assert (verdict.outcome, verdict.blocks) == ("inconclusive", True)


DOCUMENTS = [
    pytest.param({DRAWN: (None, DIAGRAM)}, "pass", id="a new diagram"),
    pytest.param({DRAWN: (DIAGRAM, DIAGRAM + "lamp --> plug\n")}, "pass", id="a changed diagram"),
    pytest.param({DRAWN: (DIAGRAM, f"{DIAGRAM}\n  \n")}, "fail", id="white space"),
    pytest.param({DRAWN: (DIAGRAM, DIAGRAM.replace("    ", "\t"))}, "fail", id="indentation"),
    pytest.param({DRAWN: (DIAGRAM, f"%% looked at\n{DIAGRAM}")}, "fail", id="a comment"),
    pytest.param({DRAWN: (None, "%% nothing\n")}, "fail", id="an empty diagram"),
    pytest.param({DRAWN: (DIAGRAM, "%% nothing\n")}, "fail", id="a diagram that is emptied"),
    pytest.param({"docs/diagrams/old.mmd": (DIAGRAM, None)}, "fail", id="a diagram that goes"),
    pytest.param({"docs/diagrams/notes.txt": (None, "x")}, "fail", id="another file beside it"),
    pytest.param({"docs/other/update.mmd": (None, DIAGRAM)}, "fail", id="a diagram elsewhere"),
    pytest.param({WRITTEN: (None, playbook())}, "fail", id="a playbook"),
    pytest.param({DRAWN: (DIAGRAM, "a" * 1_000_000)}, "error", id="a megabyte"),
]


@pytest.mark.parametrize(("files", "outcome"), DOCUMENTS)
def test_what_counts_as_a_changed_diagram(files: Mapping[str, tuple[str | None, str | None]], outcome: str) -> None:
    """A diagram that stands at the head and shows something else than before, and nothing less."""
    verdicts = judged(PATHS, files={CODE: ("old", "new"), **files})
    assert [outcome] == [verdict.outcome for verdict in verdicts]


def test_ever_more_diagrams_are_not_compared() -> None:
    """What a change can make us compare is bounded; past that, it cannot be told."""
    spaces = " " * 390 + "\n"
    large = {f"docs/diagrams/d{number}.mmd": (DIAGRAM, DIAGRAM + spaces * 150) for number in range(50)}
    assert [verdict.outcome for verdict in judged(PATHS, files={CODE: ("a", "b"), **large})] == ["error"]
    few = dict(list(large.items())[:5])
    assert [verdict.outcome for verdict in judged(PATHS, files={CODE: ("a", "b"), **few})] == ["fail"]


def test_a_diagram_that_cannot_be_read_is_an_error() -> None:
    """Not failed: it could not be told. The line still passes."""
    files: dict[str, tuple[str | None, str | None]] = {CODE: ("a", "b"), DRAWN: (DIAGRAM, DIAGRAM + "lamp --> x\n")}
    assert [verdict.outcome for verdict in judged(PATHS, files=files, unread=True)] == ["error"]
    assert [verdict.outcome for verdict in judged(PATHS, files=files, unread=True, request=asked(SAYS))] == ["pass"]


def test_a_link_is_no_diagram() -> None:
    """What git keeps as a symbolic link shows nothing."""
    touched = (Touched(CODE, "1", "2"), Touched(DRAWN, None, "3", "120000"))
    base = with_rules(make_fleet(OLD), PATHS)
    files = {DRAWN: DIAGRAM}
    case = Case(difference(base, base, touched), asked(), datetime(2026, 1, 1, tzinfo=UTC), files=files)
    assert [verdict.outcome for verdict in impact_verdicts(case)] == ["fail"]


def test_the_head_cannot_take_its_rule_away() -> None:
    """The rules are those of the base: a change that deletes them is held to them."""
    base = with_rules(make_fleet(OLD), PATHS)
    case = Case(
        difference(base, make_fleet(OLD), (Touched(CODE, "1", "2"),)), asked(), datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert [verdict.outcome for verdict in impact_verdicts(case)] == ["fail"]


def test_a_file_that_goes_is_touched() -> None:
    """A deletion changes update logic as much as an edit."""
    assert [verdict.subject for verdict in judged(PATHS, files={CODE: ("old", None)})] == [CODE]


def stretched(version: str) -> Fleet:
    """The old release, and one whose input is prepared otherwise."""
    new = make_release(version, {"canary": "5%"}, supersedes="1.0.0")
    data = new.model_dump(mode="json", by_alias=True)
    data["spec"]["inference"]["input"]["normalization"] = {"kind": "scale", "divisor": "16"}
    return make_fleet(OLD, Release.model_validate_json(json.dumps(data)))


def test_a_release_that_infers_otherwise() -> None:
    """A field rule compares a new release with the one that it supersedes."""
    base = make_fleet(OLD)
    assert judged(FIELDS, fleets=(base, make_fleet(OLD, NEW)), files={}) == []
    (verdict,) = judged(FIELDS, fleets=(base, stretched("1.1.0")), files={})
    assert (verdict.subject, verdict.outcome) == (f"releases/{MODEL}/1.1.0.yaml", "fail")
    (verdict,) = judged(FIELDS, fleets=(make_fleet(), make_fleet(OLD)), files={})
    assert verdict.subject == f"releases/{MODEL}/1.0.0.yaml"


def test_a_rollback_waits_for_no_document() -> None:
    """A release that goes, and one that is widened or narrowed, ask for nothing."""
    base = stretched("1.1.0")
    assert judged(FIELDS, fleets=(base, make_fleet(OLD)), files={}) == []
    narrowed = make_fleet(OLD, *(release.model_copy() for release in base.releases if release.version == "1.1.0"))
    assert judged(FIELDS, fleets=(base, narrowed), files={}) == []


def test_a_new_device_class_asks_for_a_playbook() -> None:
    """New hardware fails in new ways; a budget that moves does not."""
    base = make_fleet(OLD)
    new = replace(base, device_classes=(*base.device_classes, make_class("cam-roof")))
    (verdict,) = judged(CLASSES, fleets=(base, new), files={})
    assert (verdict.rule, verdict.subject, verdict.outcome) == (
        "document/playbook",
        "devices/classes/cam-roof.yaml",
        "fail",
    )
    (verdict,) = judged(CLASSES, fleets=(base, new), files={WRITTEN: (playbook(), playbook("no_current"))})
    assert verdict.outcome == "pass"
    says = asked("Playbook-Impact: none: the same board in another case")
    assert [one.outcome for one in judged(CLASSES, fleets=(base, new), files={}, request=says)] == ["pass"]
    first, *rest = base.device_classes
    budgets = first.spec.budgets.model_copy(update={"storage": 5})
    moved = first.model_copy(update={"spec": first.spec.model_copy(update={"budgets": budgets})})
    assert judged(CLASSES, fleets=(base, replace(base, device_classes=(moved, *rest))), files={}) == []


def test_a_first_release_is_not_a_device_class() -> None:
    """Fields of device classes are not asked of releases, even where everything is new."""
    assert judged(CLASSES, fleets=(make_fleet(), make_fleet(OLD)), files={}) == []


@pytest.mark.parametrize("path", REQUIRED)
def test_a_required_document_does_not_go(path: str) -> None:
    """Whatever the rules say: a fleet cannot rid itself of its documents by deleting all at once."""
    (verdict,) = judged(files={path: ("x", None)})
    assert (verdict.rule, verdict.subject, verdict.outcome) == ("document/removed", path, "fail")


def test_many_files_are_one_verdict() -> None:
    """One verdict for each rule, however much is touched."""
    files = {f"controller/muster/agent/{number}.py": ("a", "b") for number in range(5_000)}
    (verdict,) = judged(PATHS, files=files)
    assert "and 4997 more" in verdict.message
