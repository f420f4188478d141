"""Merged pins never change: a release is one version of one model, and what it pins is what was judged and signed."""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.case import Case
from muster.check.verdict import Verdict
from muster.kinds.finding import Finding, Pointer

_SHOWN = 5


def pin_verdicts(case: Case) -> Iterator[Verdict]:
    """A failure for every merged release whose pins were edited."""
    for release, fields in case.change.repinned:
        more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        yield Verdict(
            rule="change/pins",
            subject=release.name,
            outcome="fail",
            message=f"pins of a merged release are edited: {', '.join(fields[:_SHOWN])}{more}",
            hint=f"add a new version: restore {release.path}, and declare the change as a release of its own",
            tier=release.spec.tier,
            where=Pointer(release.path, tuple(fields[0].split("."))),
        )


def finding_verdicts(findings: tuple[Finding, ...]) -> Iterator[Verdict]:
    """What is wrong with the files of the merge result, as verdicts."""
    for finding in findings:
        section = "document" if finding.place.file.startswith("docs/") else "change"
        yield Verdict(
            rule=f"{section}/{finding.rule}",
            subject=finding.place.file,
            outcome="fail",
            message=finding.message,
            hint=finding.hint,
            severity="block" if finding.severity == "error" else "warn",
            place=finding.place,
        )
