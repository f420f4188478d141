"""What every report says in the same words: the headline, what a verdict is called, and where it points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from muster.check.judgement import Judgement, NeededApproval, Row
from muster.check.verdict import Subjects, Verdict
from muster.kinds.finding import Place
from muster.kinds.quantity import format_percent

Standing = Literal["blocks", "warns", "waived", "pass"]
STANDINGS: Final[tuple[Standing, ...]] = get_args(Standing)
SECTIONS: Final[tuple[Subjects, ...]] = get_args(Subjects)
TITLES: Final[Mapping[str, str]] = {
    "change": "The change",
    "gate": "Gates",
    "transition": "Transitions",
    "weakening": "Weakenings",
    "approval": "Approvals",
    "checklist": "Checklist",
    "document": "Diagrams and playbooks",
}


@dataclass(frozen=True)
class Group:
    """Verdicts that are shown together: those of one section, gates by release."""

    section: str
    title: str
    subject: str | None
    verdicts: tuple[Verdict, ...]


def standing(verdict: Verdict) -> Standing:
    """What a verdict does to the change."""
    if verdict.blocks:
        return "blocks"
    if verdict.waived is not None and verdict.outcome != "pass":
        return "waived"
    return "warns" if verdict.warns else "pass"


def label(verdict: Verdict) -> str:
    """What a verdict does, and its outcome where that is more than passing: "blocks (inconclusive)"."""
    found = standing(verdict)
    return found if found == "pass" else f"{found} ({verdict.outcome})"


def headline(judgement: Judgement) -> str:
    """The verdict on the change, in one line."""
    if judgement.outcome == "no-change":
        return "no change"
    counts = dict.fromkeys(STANDINGS, 0)
    for verdict in judgement.verdicts:
        counts[standing(verdict)] += 1
    total = f"of {len(judgement.verdicts)} " if counts["pass"] != len(judgement.verdicts) else ""
    said = [
        f"{counts[found]} {total if found == 'blocks' else ''}{words[counts[found] != 1]}"
        for found, words in _COUNTED.items()
        if counts[found]
    ]
    return f"{judgement.outcome}: {', '.join(said) or 'nothing is asked of it'}"


_COUNTED: Final[Mapping[Standing, tuple[str, str]]] = {
    "blocks": ("rule blocks", "rules block"),
    "warns": ("warns", "warn"),
    "waived": ("is waived", "are waived"),
    "pass": ("rule holds", "rules hold"),
}


def by_weight(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """What blocks first; apart from that as they came."""
    return tuple(sorted(verdicts, key=lambda verdict: STANDINGS.index(standing(verdict))))


def groups(judgement: Judgement) -> tuple[Group, ...]:
    """All verdicts by section, and gates by release, in the fixed order of sections."""
    parted: dict[tuple[int, str, str | None], list[Verdict]] = {}
    for verdict in judgement.verdicts:
        order = SECTIONS.index(verdict.section) if verdict.section in TITLES else len(SECTIONS)
        subject = verdict.subject if verdict.section == "gate" else None
        parted.setdefault((order, verdict.section, subject), []).append(verdict)
    return tuple(
        Group(section, TITLES.get(section, section), subject, by_weight(parted[order, section, subject]))
        for order, section, subject in sorted(parted, key=lambda key: (key[0], key[1], key[2] or ""))
    )


def called(verdict: Verdict) -> tuple[str, ...]:
    """What was asked of what: the gate or rule, then device class and slice."""
    narrowed = (verdict.device_class, f"slice {verdict.slice}" if verdict.slice else None)
    name = verdict.gate or (verdict.rule.partition("/")[2] or verdict.rule)
    return (name, *(part for part in narrowed if part))


def place_of(verdict: Verdict) -> Place | None:
    """Where a person would edit; the file alone where nobody looked the line up."""
    if verdict.place is not None:
        return verdict.place
    return Place(verdict.where.file) if verdict.where is not None else None


def waiver_line(verdict: Verdict) -> str | None:
    """Who waived a verdict, until when, and why."""
    waived = verdict.waived
    if waived is None:
        return None
    return f"waiver {waived.name} of {waived.owner}, until {waived.expires}: {waived.reason}"


def moves(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows in which something changes."""
    return tuple(row for row in rows if row.direction != "same" or row.now != row.then)


def shares(on_offer: tuple[tuple[str, int], ...], model: str) -> str:
    """What is on offer, newest first: "1.1.0 5%, 1.0.0 100%"; without the model, which the reader knows."""
    return ", ".join(f"{name.removeprefix(f'{model}/')} {format_percent(ppm)}" for name, ppm in on_offer) or "nothing"


def moved(row: Row) -> str:
    """How many devices move, which way."""
    if row.devices is None:
        return f"{format_percent(row.moved_ppm)} {row.direction}"
    return f"{row.devices} device{'' if row.devices == 1 else 's'} {row.direction}"


def download(row: Row) -> str:
    """The bytes that travel; for one device, where nobody knows how many there are."""
    if not row.download:
        return "no download"
    from rich.filesize import decimal

    return f"{decimal(row.download)}{' each' if row.devices is None else ''}"


def approval_state(approval: NeededApproval) -> str:
    """How far an approval has come."""
    return "complete" if approval.complete else f"{len(approval.given)} of {approval.count}"
