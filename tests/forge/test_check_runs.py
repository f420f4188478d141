"""From a judgement to check runs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets import make_fleet
from muster.check.change import difference
from muster.check.judgement import Judgement, NeededApproval
from muster.check.verdict import Verdict, Waived
from muster.forge.check_runs import check_runs, unjudged
from muster.forge.forge import MOST_RUNS
from muster.kinds.errors import Unusable
from muster.kinds.finding import Place, Pointer
from muster.kinds.pull_request import PullRequest

REQUEST = PullRequest("b" * 40, "a" * 40)
FILE = "releases/meter-reader/1.2.0.yaml"
WAIVED = Waived("waive-fast", "ben", "new board", "2026-12-01")


def judged(*verdicts: Verdict, approvals: tuple[NeededApproval, ...] = (), notes: tuple[str, ...] = ()) -> Judgement:
    """A judgement of an empty change with these verdicts."""
    change = difference(make_fleet(), make_fleet(), ())
    return Judgement(change, REQUEST, (), verdicts, approvals, notes)


def gate(name: str, outcome: str, **more: object) -> Verdict:
    """A verdict of a gate."""
    return Verdict("gate/accuracy", "meter-reader-1.2.0", outcome, "said", gate=name, tier="production", **more)


def test_one_run_per_gate_and_a_total_that_comes_last() -> None:
    """Verdicts of one gate share a run; other sections have one each; the total is the last to be posted."""
    runs = check_runs(
        judged(
            gate("accuracy-kept", "pass"),
            gate("accuracy-kept", "fail", device_class="cam-day"),
            gate("fast-enough", "pass"),
            Verdict("transition/soak", "meter-reader-1.2.0", "pass", "said"),
        )
    )
    assert [(run.name, run.conclusion, run.title) for run in runs] == [
        ("muster / gate / accuracy-kept", "failure", "1 fail, 1 pass"),
        ("muster / gate / fast-enough", "success", "1 pass"),
        ("muster / transition", "success", "1 pass"),
        ("muster", "failure", "blocked: 1 fail, 3 pass"),
    ]


CONCLUSIONS = {
    "it holds": (gate("g", "pass"), "success", "success"),
    "it fails": (gate("g", "fail"), "failure", "failure"),
    "it could not be measured": (gate("g", "error"), "failure", "failure"),
    "not enough yet": (gate("g", "inconclusive"), "failure", "failure"),
    "it only warns": (gate("g", "fail", severity="warn"), "neutral", "success"),
    "waived": (gate("g", "fail", waived=WAIVED), "neutral", "success"),
}


@pytest.mark.parametrize(("verdict", "one", "total"), CONCLUSIONS.values(), ids=CONCLUSIONS)
def test_conclusions(verdict: Verdict, one: str, total: str) -> None:
    """A run fails exactly if it blocks; the total fails exactly if the judgement does."""
    judgement = judged(verdict)
    assert [run.conclusion for run in check_runs(judgement)] == [one, total]
    assert (total == "failure") == (judgement.exit_code == 1)


def test_no_change_says_so() -> None:
    """Nothing but the total, which says that nothing changed."""
    (run,) = check_runs(judged())
    assert (run.name, run.conclusion, run.title) == ("muster", "success", "no change")


def test_annotations_stand_at_their_lines() -> None:
    """At the place if it is known, else at the file; a passing verdict and a path outside the tree have none."""
    placed = gate("g", "fail", place=Place(FILE, 12, 3), hint="do this")
    pointed = gate("g", "fail", severity="warn", where=Pointer(FILE))
    waived = gate("g", "fail", waived=WAIVED, place=Place(FILE, 3))
    outside = gate("g", "fail", place=Place("../../etc/passwd", 1))
    nowhere = gate("g", "fail")
    run = check_runs(judged(placed, pointed, waived, outside, nowhere, gate("g", "pass", place=Place(FILE, 9))))[0]
    assert {(note.path, note.line, note.level) for note in run.annotations} == {
        (FILE, 12, "failure"),
        (FILE, 1, "warning"),
        (FILE, 3, "notice"),
    }
    assert run.annotations[0].message == "said\ndo this"


def test_the_hidden_verdict_is_shown() -> None:
    """A waived gate names who waived it, until when and why."""
    run = check_runs(judged(gate("g", "fail", waived=WAIVED)))[0]
    assert run.title == "1 waived"
    assert "fail  meter-reader-1.2.0" in run.summary
    assert "waived by ben until 2026-12-01: new board" in run.summary


def test_the_total_says_what_is_missing() -> None:
    """What blocks, which approvals are missing and by whom, and the notes."""
    needed = NeededApproval("policy owners", ("ben", "cyd"), 1, ())
    given_already = NeededApproval("ml", ("dia",), 1, ("dia",))
    judgement = judged(gate("g", "fail"), approvals=(needed, given_already), notes=("no controller was asked",))
    total = check_runs(judgement)[-1]
    for words in ("needs 1 of ben, cyd: policy owners", "no controller was asked", "fail  meter-reader-1.2.0"):
        assert words in total.summary
    assert "dia" not in total.summary


def test_a_change_that_could_not_be_judged_fails() -> None:
    """The total fails under its usual name, so that an earlier success does not go on to stand, and says why."""
    run = unjudged(Unusable("the base is unreadable: ```\x1b[2J", "fetch it"))
    assert (run.name, run.conclusion, run.title) == ("muster", "failure", "could not be judged")
    assert run.name == check_runs(judged())[-1].name
    assert run.summary == "````text\nthe base is unreadable: ```\\x1b[2J\nfetch it\n````"


def test_names_stay_within_what_a_forge_takes() -> None:
    """However many gates there are, the runs are few enough to post, and none is lost."""
    runs = check_runs(judged(*(gate(f"g{number}", "fail") for number in range(400))))
    assert len(runs) <= MOST_RUNS
    assert sum(int(run.title.split()[0]) for run in runs[:-1]) == 400


HOSTILE = st.text(
    st.characters() | st.sampled_from("`~<>|@#[]()!*_\n\r\u202e\u200b\x1b"), max_size=80
) | st.sampled_from(["```\n# hi @everyone", "`````` </details>", "![x](https://evil.test/x)", "::error::x", "\x1b[2J"])


@given(HOSTILE, HOSTILE, HOSTILE)
def test_hostile_text_stays_inside_its_fence(subject: str, message: str, hint: str) -> None:
    """No quoted text ends the fence, so no Markdown, mention or HTML in it takes effect; controls are shown escaped."""
    verdict = Verdict("gate/accuracy", subject, "fail", message, hint, gate="g", place=Place(FILE, 1))
    for run in check_runs(judged(verdict)):
        first, *inner, last = run.summary.split("\n")
        assert re.fullmatch("`{3,}text", first)
        assert first == f"{last}text"
        assert not any(last in line for line in inner)
        assert all(line.isprintable() for line in inner)
        assert run.title.isprintable()
        for note in run.annotations:
            assert all(line.isprintable() for line in [note.title, *note.message.split("\n")])
