"""Do documents close over each other? boxes ↔ components ↔ owners ↔ playbooks ↔ error codes.

- Every box of a diagram is a component, by its id, with its title on it; every component is drawn.
- Every subgraph is a trust boundary, around the boxes that say so; every boundary is one of some component.
- Every owner is a person of the owners file, or a role that somebody has.
- Every component names a playbook that stands there; every playbook is one of some component.
- Every error code that the program has is one of a component; every component's codes stand in its playbook, and every
  code of a playbook is one of a component that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import get_args

from muster.check.documents.playbook import Playbook
from muster.check.documents.sketch import Box, Diagram
from muster.check.documents.tree import COMPONENTS, DIAGRAMS, PLAYBOOKS, playbook_path
from muster.kinds.components import Component, Components
from muster.kinds.finding import Complaint, Finding, Place, Pointer
from muster.kinds.owners import Owners, Role

_Step = str | int


def duplicates(components: Components) -> Iterator[Complaint]:
    """Ids and titles that stand twice: one box would be two things, or two would look like one."""
    spec = components.spec
    lists = (("boundaries", spec.boundaries), ("components", spec.components))
    for what in ("id", "title"):
        seen: set[str] = set()
        for name, entries in lists:
            for index, entry in enumerate(entries):
                value = str(getattr(entry, what))
                if value.casefold() in seen:
                    message = f'the {what} "{value}" stands here again'
                    yield _complaint(("spec", name, index, what), "duplicate", message, f"give each its own {what}")
                seen.add(value.casefold())


def undrawn(components: Components, diagrams: Mapping[str, Diagram]) -> Iterator[Finding]:
    """Boxes and subgraphs that are no component and no boundary, or are drawn otherwise than declared."""
    declared = {component.id: component for component in components.spec.components}
    boundaries = {boundary.id: boundary for boundary in components.spec.boundaries}
    for path, diagram in sorted(diagrams.items()):
        for box in diagram.boxes:
            yield from _box(path, box, declared.get(box.id))
        for drawn in diagram.boundaries:
            boundary = boundaries.get(drawn.id)
            place = Place(path, drawn.line, 1)
            if boundary is None:
                yield _unknown(place, f"the subgraph {drawn.id} is no trust boundary", "boundaries", boundaries)
            elif drawn.label != boundary.title:
                yield _label(place, drawn, boundary.title)


def unanswered(
    components: Components, diagrams: Mapping[str, Diagram], playbooks: Collection[str], owners: Owners | None
) -> Iterator[Complaint]:
    """What components name and what is not there: drawings, boundaries, owners, playbooks."""
    boxes = {box.id for diagram in diagrams.values() for box in diagram.boxes}
    boundaries = {boundary.id for boundary in components.spec.boundaries}
    for index, component in enumerate(components.spec.components):
        at = ("spec", "components", index)
        if component.id not in boxes:
            message = f"the component {component.id} is in no diagram"
            yield _complaint((*at, "id"), "undrawn", message, f"draw it in {DIAGRAMS}, or delete it")
        if component.trust_boundary not in boundaries:
            message = f"the trust boundary {component.trust_boundary} is not declared"
            yield _complaint((*at, "trustBoundary"), "dangling", message, f"declared: {_names(boundaries)}")
        if playbook_path(component.playbook) not in playbooks:
            known = _names(path.removeprefix(PLAYBOOKS).removesuffix(".md") for path in playbooks)
            message = f"there is no playbook {component.playbook}"
            yield _complaint((*at, "playbook"), "dangling", message, f"{PLAYBOOKS} has {known}")
        problem = _owner_problem(component.owner, owners) if owners else None
        if problem:
            yield _complaint((*at, "owner"), "dangling", *problem)
    if owners is None:
        message = "there is no owners file that could know the owners of components"
        yield _complaint(("spec", "components"), "dangling", message, "declare people in policies/owners.yaml")
    used = {component.trust_boundary for component in components.spec.components}
    for index, boundary in enumerate(components.spec.boundaries):
        if boundary.id not in used:
            message = f"no component is inside the trust boundary {boundary.id}"
            yield _complaint(("spec", "boundaries", index, "id"), "unused", message, "name it in a component")


def unwritten(
    components: Components, playbooks: Mapping[str, Playbook], error_codes: Collection[str]
) -> Iterator[Complaint | Finding]:
    """Error codes that nobody answers for, that no playbook explains, or that the program does not have."""
    answered: dict[str, set[str]] = {}
    for index, component in enumerate(components.spec.components):
        path = playbook_path(component.playbook)
        answered.setdefault(path, set()).update(component.error_codes)
        yield from _codes_of(component, ("spec", "components", index, "errorCodes"), playbooks.get(path), error_codes)
    for code in sorted(set(error_codes) - set().union(*answered.values())):
        message = f"no component answers for the error code {code}"
        hint = "add it to the errorCodes of the component that reports it, and to that one's playbook"
        yield _complaint(("spec", "components"), "error-code", message, hint)
    for path, playbook in sorted(playbooks.items()):
        if path not in answered:
            yield Finding(Place(path, 1, 1), "unused", "no component names this playbook", f"name it in {COMPONENTS}")
            continue
        for code in playbook.error_codes:
            if code not in answered[path]:
                message = f"no component with this playbook has the error code {code}"
                place = Place(path, playbook.codes_line, 1)
                yield Finding(place, "error-code", message, f"correct it here or in {COMPONENTS}")


def _codes_of(
    component: Component, at: tuple[_Step, ...], playbook: Playbook | None, error_codes: Collection[str]
) -> Iterator[Complaint]:
    for index, code in enumerate(component.error_codes):
        if code not in error_codes:
            message = f"no device reports the error code {code}"
            yield _complaint((*at, index), "error-code", message, f"known: {_names(error_codes)}")
        elif code in component.error_codes[:index]:
            yield _complaint((*at, index), "duplicate", f"the error code {code} stands here again", "keep one")
        elif playbook is not None and code not in playbook.error_codes:
            message = f"the playbook {component.playbook} says nothing of the error code {code}"
            hint = f"add it to the line `Error codes:` of {playbook_path(component.playbook)}, and say what to do"
            yield _complaint((*at, index), "error-code", message, hint)


def _box(path: str, box: Box, component: Component | None) -> Iterator[Finding]:
    place = Place(path, box.line, 1)
    if component is None:
        hint = f"declare it in {COMPONENTS}: owner, playbook, error codes, trust boundary, data, failure modes"
        yield Finding(place, "undeclared", f"the box {box.id} is no component", hint)
        return
    if box.label != component.title:
        yield _label(place, box, component.title)
    if box.boundary is not None and box.boundary != component.trust_boundary:
        message = f"the box {box.id} is drawn inside {box.boundary}, and declared inside {component.trust_boundary}"
        yield Finding(place, "boundary", message, f"correct it here or in {COMPONENTS}")


def _label(place: Place, box: Box, title: str) -> Finding:
    shown = f'"{box.label}"' if box.label else "nothing"
    return Finding(place, "label", f'{box.id} has {shown} written on it, not "{title}"', f'write "{title}"')


def _unknown(place: Place, message: str, what: str, known: Collection[str]) -> Finding:
    return Finding(place, "undeclared", message, f"{what} of {COMPONENTS}: {_names(known)}")


def _owner_problem(owner: str, owners: Owners) -> tuple[str, str] | None:
    if owner in get_args(Role):
        if any(owner in person.roles for person in owners.spec.people):
            return None
        return f"nobody has the role {owner}", "give it to somebody in policies/owners.yaml"
    if owners.person(owner) is not None:
        return None
    return f"{owner} is neither a role nor a person", f"roles: {', '.join(get_args(Role))}"


def _names(names: Collection[str] | Iterator[str]) -> str:
    return ", ".join(sorted(names)[:40]) or "nothing"


def _complaint(path: tuple[_Step, ...], rule: str, message: str, hint: str) -> Complaint:
    return Complaint(Pointer(COMPONENTS, path), rule, message, hint)
