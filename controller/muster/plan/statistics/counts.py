"""What is counted: devices of two arms, per step of the rollout. Every value here is additive.

A trial is one device's observation over the health window of its release. The *candidate* arm runs the release, the
*control* arm is devices of the same stratum that are still on the release it supersedes.

Which trials count. Failures end a trial early, successes take the whole window. Whoever divides failures by ended
trials therefore sees nothing but failures at first, and calls harm. So:

- The arm that a claim accuses is read with every device that tried it in the denominator, and a trial that is not
  over counts as not failed. Order the devices by the moment at which they tried: what is seen at any time is then at
  most what the same devices will have shown in the end, and evidence that only rises with failures is at most the
  evidence on the complete trials, for which the error is proved.
- The arm that a claim leans on is read with ended trials only.

*Harm* accuses the candidate and leans on the control; *no worse* the other way round. A device that activated and
whose trial is not over thus counts as not failed for harm, and does not count at all for "no worse".

Recalled devices were told to leave: they say nothing about the release, are shown, and never counted. A device is
*missing* if its trial is over and it did not report what is asked for: it is taken for what speaks against the claim,
in the candidate not failed for harm and failed for "no worse", in the control the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

PPM = 1_000_000
LARGEST = 2**53
"""Above this a count is no exact float."""


@dataclass(frozen=True)
class Arm:
    """Devices of one arm in one step.

    tried       devices that activated the release, or failed to; without recalled ones
    concluded   of these, trials that are over: failed, or held for the whole window
    failed      of the concluded, those in which the event happened
    missing     of the concluded, those that did not report what is asked for
    recalled    left because they were told to; not among the others
    """

    tried: int = 0
    concluded: int = 0
    failed: int = 0
    missing: int = 0
    recalled: int = 0

    def __add__(self, other: Arm) -> Arm:
        return Arm(
            self.tried + other.tried,
            self.concluded + other.concluded,
            self.failed + other.failed,
            self.missing + other.missing,
            self.recalled + other.recalled,
        )

    @property
    def pending(self) -> int:
        """Trials that are not over."""
        return self.tried - self.concluded

    def complaint(self) -> str | None:
        """What makes these counts impossible."""
        if min(self.tried, self.concluded, self.failed, self.missing, self.recalled) < 0:
            return "a count is negative"
        if max(self.tried, self.recalled) > LARGEST:
            return "a count is larger than any fleet"
        if self.failed + self.missing > self.concluded:
            return f"{self.failed} failed and {self.missing} missing are more than {self.concluded} concluded trials"
        if self.concluded > self.tried:
            return f"{self.concluded} concluded trials are more than the {self.tried} devices that tried"
        return None


@dataclass(frozen=True)
class Step:
    """Both arms while the rollout stood at one percentage. Widening it begins a new step."""

    candidate: Arm = Arm()
    control: Arm = Arm()


@dataclass(frozen=True)
class Histogram:
    """One value per device (its own aggregate over its window, fixed when its trial is over), counted in buckets.

    Clustered by device: a device that answers a million requests is one value, not a million.

    buckets     (bucket, devices), in any order, as often as one likes
    missing     devices whose trial is over and that reported no value
    pending     devices whose trial is not over; shown only
    """

    buckets: tuple[tuple[int, int], ...] = ()
    missing: int = 0
    pending: int = 0

    @property
    def devices(self) -> int:
        """Devices with a value."""
        return sum(count for _, count in self.buckets)

    def sums(self) -> dict[int, int]:
        """Devices by bucket, ascending, each bucket once, empty ones left out."""
        sums: dict[int, int] = {}
        for bucket, count in self.buckets:
            sums[bucket] = sums.get(bucket, 0) + count
        return {bucket: sums[bucket] for bucket in sorted(sums) if sums[bucket]}

    def __add__(self, other: Histogram) -> Histogram:
        both = Histogram(self.buckets + other.buckets)
        return Histogram(tuple(both.sums().items()), self.missing + other.missing, self.pending + other.pending)

    def complaint(self, lowest: int, highest: int) -> str | None:
        """What makes these counts impossible."""
        if min((self.missing, self.pending, *(count for _, count in self.buckets))) < 0:
            return "a count is negative"
        if self.devices + self.missing + self.pending > LARGEST:
            return "a count is larger than any fleet"
        outside = next((bucket for bucket, _ in self.buckets if not lowest <= bucket <= highest), None)
        return None if outside is None else f"bucket {outside} is not between {lowest} and {highest}"


NO_VALUES = Histogram()
