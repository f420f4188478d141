"""What every metric source must do. A source's test file gives a factory, and inherits these tests."""

from __future__ import annotations

from muster.plan.metric_source import ArmCounts, CannotTell, Counts, CountsSource, Question, StepCounts
from muster.plan.tallies import CODE, PHASE, Cell

OLD, NEW, OTHER = "meter-reader/1.0.0", "meter-reader/1.1.0", "meter-reader/1.2.0"
CLASS = "cam-day"
NORTH, SOUTH = ("os=12.4 runtime=1.31.1 label.site=north", "os=12.4 runtime=1.31.1 label.site=south")


def cell(
    release: str, entered: int, generation: int, what: str, bucket: str, *, left: bool = False, stratum: str = NORTH
) -> Cell:
    return Cell(release, CLASS, stratum, entered, generation, left, what, bucket)


# The release comes at generation 5 and is widened at 6.
TALLY: dict[Cell, int] = {
    cell(OLD, 1, 4, PHASE, "healthy"): 1_000,
    cell(OLD, 1, 5, PHASE, "healthy", left=True): 40,
    cell(OLD, 1, 6, PHASE, "healthy"): 90,
    cell(OLD, 2, 6, PHASE, "dark"): 2,
    cell(OLD, 1, 5, PHASE, "rolled-back"): 1,
    cell(OLD, 1, 5, CODE, "inference_failed"): 1,
    cell(OLD, 1, 6, "p95-latency", "200"): 60,
    cell(OLD, 1, 6, "p95-latency", "210"): 30,
    cell(OLD, 1, 5, "p95-latency", "200", left=True): 40,
    cell(NEW, 5, 5, PHASE, "failed"): 3,
    cell(NEW, 5, 5, CODE, "load_failed"): 2,
    cell(NEW, 5, 5, CODE, "golden_mismatch"): 1,
    cell(NEW, 5, 6, PHASE, "healthy"): 30,
    cell(NEW, 5, 6, "p95-latency", "205"): 25,
    cell(NEW, 5, 6, "p95-latency", "missing"): 5,
    cell(NEW, 5, 6, "crash-share", "1"): 4,
    cell(NEW, 5, 6, "crash-share", "0"): 26,
    cell(NEW, 6, 6, PHASE, "activated"): 7,
    cell(NEW, 6, 6, PHASE, "offered"): 50,
    cell(NEW, 6, 6, PHASE, "recalled"): 2,
    cell(NEW, 6, 6, PHASE, "healthy", stratum=SOUTH): 5,
    cell(OTHER, 6, 6, PHASE, "failed", stratum=SOUTH): 9,
}


def question(reading: str, *, stratum: str = NORTH, error_code: str | None = None) -> Question:
    return Question(NEW, (OLD,), CLASS, stratum, reading, since=5, error_code=error_code)


class SourceConformance:
    """Tests of one source, which holds `TALLY` as of now."""

    def told(self, source: CountsSource, asked: Question) -> Counts:
        found = source.counts(asked)
        assert not isinstance(found, CannotTell), found
        return found

    def test_strata_are_those_with_devices(self, source: CountsSource) -> None:
        """In their order; none for a release that nobody has."""
        assert source.strata(NEW, CLASS) == (NORTH, SOUTH)
        assert source.strata(OLD, CLASS) == (NORTH,)
        assert source.strata("meter-reader/9.9.9", CLASS) == ()

    def test_failures_of_both_arms(self, source: CountsSource) -> None:
        """Tried, concluded and failed; mid-update and recalled devices are shown; who left is not still on it."""
        found = self.told(source, question("failure-share"))
        assert found.treated == ArmCounts(
            (StepCounts(5, tried=33, concluded=33, events=3), StepCounts(6, tried=7, recalled=2)), under_way=50
        )
        assert found.control == ArmCounts((StepCounts(5, tried=93, concluded=93, events=3),))
        assert (found.treated.all.tried, found.treated.all.events) == (40, 3)

    def test_one_error_code_or_any(self, source: CountsSource) -> None:
        """Of the same devices."""
        assert self.told(source, question("error-share")).treated.all.events == 3
        assert self.told(source, question("error-share", error_code="load_failed")).treated.all.events == 2

    def test_amounts_come_as_a_histogram(self, source: CountsSource) -> None:
        """By device, in both arms; who should have shown it and did not is missing."""
        found = self.told(source, question("p95-latency"))
        assert (found.treated.histogram, found.treated.all.missing, found.treated.all.events) == ({205: 25}, 5, 0)
        assert found.control.histogram == {200: 60, 210: 30}

    def test_yes_or_no(self, source: CountsSource) -> None:
        """Those that showed it are the events."""
        assert self.told(source, question("crash-share")).treated.all.events == 4

    def test_other_strata_and_releases_do_not_count(self, source: CountsSource) -> None:
        """No device of the control is in the south."""
        found = self.told(source, question("failure-share", stratum=SOUTH))
        assert (found.treated.all.tried, found.treated.all.events, found.control) == (5, 0, ArmCounts())

    def test_nobody_is_an_answer(self, source: CountsSource) -> None:
        """Of a release that no device has, both arms are empty: that is known."""
        asked = Question("meter-reader/9.9.9", (), CLASS, NORTH, "failure-share", since=0)
        assert self.told(source, asked) == Counts(ArmCounts(), ArmCounts())
