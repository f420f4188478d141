"""Is the checklist whole? Every area has an item, every item has a name of its own and one thing that answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from muster.kinds.checklist import Area, Checklist, Item
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.policy import Policy, Tier

AREAS: tuple[str, ...] = get_args(Area)
_MOST_STARS = 2


def checklist_complaints(path: str, checklist: Checklist, policies: Mapping[str, Policy]) -> Iterator[Complaint]:
    """Complaints about a checklist, and about tiers that ask for it and lack a gate that answers it."""
    items = checklist.spec.items
    missing = [area for area in AREAS if area not in {item.area for item in items}]
    if missing:
        what = f"nothing is asked about {', '.join(missing)}"
        yield Complaint(Pointer(path, ("spec", "items")), "checklist", what, "write at least one item for each area")
    seen: set[str] = set()
    for index, item in enumerate(items):
        here = ("spec", "items", index)
        if item.name in seen:
            yield Complaint(
                Pointer(path, (*here, "name")), "duplicate", f"item {item.name} stands here again", "keep one"
            )
        seen.add(item.name)
        yield from _answer(path, (*here, "answeredBy"), item)
        yield from _unanswerable(Pointer(path, (*here, "answeredBy", "gate")), item, policies)


def _answer(path: str, here: tuple[str | int, ...], item: Item) -> Iterator[Complaint]:
    by = item.answered_by
    given = [field for field in ("gate", "file", "approval") if getattr(by, field) is not None]
    if len(given) != 1:
        what = f"{item.name} is answered by {' and '.join(given) or 'nothing'}"
        yield Complaint(Pointer(path, here), "checklist", what, "write exactly one of gate, file and approval")
    if by.file is not None and ("**" in by.file or by.file.count("*") > _MOST_STARS):
        yield Complaint(
            Pointer(path, (*here, "file")),
            "checklist",
            f"{by.file} does not say which file answers",
            "name one file; the first * stands for the model, the second for the version",
        )


def _unanswerable(pointer: Pointer, item: Item, policies: Mapping[str, Policy]) -> Iterator[Complaint]:
    metric = item.answered_by.gate
    if metric is None:
        return
    tiers = [tier for policy in policies.values() for tier in policy.spec.tiers if tier.checklist]
    lacking = [tier.name for tier in tiers if tier.name in item.tiers and not _has_gate(tier, metric)]
    if lacking:
        what = f"{item.name} is answered by a gate on {metric}, and {', '.join(lacking)} has none"
        yield Complaint(
            pointer, "checklist", what, f"declare a gate on {metric} in the tier: until then the item fails"
        )


def _has_gate(tier: Tier, metric: str) -> bool:
    return any(gate.metric == metric for gate in tier.gates)
