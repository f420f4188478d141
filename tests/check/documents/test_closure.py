"""Boxes, components, owners, playbooks and error codes close over each other, in both directions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from muster.check.documents.complaints import document_complaints
from muster.check.documents.tree import COMPONENTS, REQUIRED, Documents, diagram_path, playbook_path
from muster.kinds.components import Components
from muster.kinds.finding import Complaint
from muster.kinds.owners import Owners
from small_documents import CODES, OWNERS, components, document_files, playbook

LAMP = ("spec", "components", 0)


def make_documents(bend: Callable[[Any], None] = lambda _: None) -> Documents:
    """The small documents; `bend` changes the components."""
    data = copy.deepcopy(components())
    bend(data["spec"])
    return of_files(document_files(), Components.model_validate(data))


def with_file(path: str, text: str | None) -> Documents:
    """The small documents with one file changed or taken away."""
    return of_files({**document_files(), path: text}, Components.model_validate(components()))


def of_files(files: Mapping[str, str | None], declared: Components) -> Documents:
    """Documents of these files."""
    texts = {path: text for path, text in files.items() if text is not None}
    return Documents(
        declared,
        {path: text for path, text in texts.items() if path.endswith(".mmd")},
        {path: text for path, text in texts.items() if path.endswith(".md")},
    )


def said(documents: Documents, owners: Owners | None = OWNERS) -> list[tuple[str, object, str]]:
    """File, pointer or line, and message of each complaint."""
    found: list[tuple[str, object, str]] = []
    for one in document_complaints(documents, owners, CODES):
        if isinstance(one, Complaint):
            found.append((one.pointer.file, one.pointer.path, one.message))
        else:
            found.append((one.place.file, one.place.line, one.message))
    return found


def test_the_small_documents_close() -> None:
    """Nothing is wrong where everything is drawn, owned and written about."""
    assert said(make_documents()) == []


def test_a_fleet_without_documents_is_not_held_to_any() -> None:
    """Documents are a fleet's own choice; half of them are not."""
    assert document_complaints(Documents(), None, CODES) == []


@pytest.mark.parametrize("path", REQUIRED)
def test_every_required_document_is_needed(path: str) -> None:
    """Whoever has any of them has all of them, and the missing one is the only complaint."""
    documents = Documents(None, make_documents().diagrams, make_documents().playbooks) if path == COMPONENTS else None
    assert [(path, 0, "a required document is missing")] == said(documents or with_file(path, None))


def test_what_could_not_be_read_has_no_consequences() -> None:
    """A broken file is complained of by whoever read it; nothing is said of what it might hold."""
    whole = make_documents()
    broken = diagram_path("components")
    diagrams = {path: text for path, text in whole.diagrams.items() if path != broken}
    assert said(Documents(whole.components, diagrams, whole.playbooks, frozenset({broken}))) == []
    unparsed = with_file(broken, "flowchart LR\nlamp --> ?\n")
    assert [place[:2] for place in said(unparsed)] == [(broken, 2), (broken, 2)]


def bent(index: int, **fields: object) -> Callable[[Any], None]:
    """Change fields of one component."""
    return lambda spec: spec["components"][index].update(fields)


BENT = [
    pytest.param(bent(0, owner="qa"), (*LAMP, "owner"), "nobody has the role qa", id="role without people"),
    pytest.param(bent(0, owner="eve"), (*LAMP, "owner"), "eve is neither a role nor a person", id="unknown person"),
    pytest.param(bent(0, playbook="floods"), (*LAMP, "playbook"), "there is no playbook floods", id="no playbook"),
    pytest.param(
        bent(0, trustBoundary="cellar"),
        (*LAMP, "trustBoundary"),
        "the trust boundary cellar is not declared",
        id="no boundary",
    ),
    pytest.param(
        bent(0, errorCodes=["bulb_broken", "bulb_blue"]),
        (*LAMP, "errorCodes", 1),
        "no device reports the error code bulb_blue",
        id="unknown code",
    ),
    pytest.param(
        bent(0, errorCodes=["bulb_broken", "bulb_broken"]),
        (*LAMP, "errorCodes", 1),
        "the error code bulb_broken stands here again",
        id="code twice",
    ),
    pytest.param(
        bent(0, errorCodes=["bulb_broken", "no_current"]),
        (*LAMP, "errorCodes", 1),
        "the playbook model-fails-to-load says nothing of the error code no_current",
        id="code without a page",
    ),
    pytest.param(
        bent(1, errorCodes=[]),
        ("spec", "components"),
        "no component answers for the error code no_current",
        id="code without a component",
    ),
    pytest.param(
        lambda spec: spec["components"].append({**spec["components"][0], "id": "candle", "title": "Candle"}),
        ("spec", "components", 4, "id"),
        "the component candle is in no diagram",
        id="not drawn",
    ),
    pytest.param(
        lambda spec: spec["boundaries"].append({"id": "cellar", "title": "Cellar", "trusts": "Nobody."}),
        ("spec", "boundaries", 1, "id"),
        "no component is inside the trust boundary cellar",
        id="empty boundary",
    ),
    pytest.param(
        bent(1, id="lamp"), ("spec", "components", 1, "id"), 'the id "lamp" stands here again', id="an id twice"
    ),
    pytest.param(
        bent(1, title="LAMP"),
        ("spec", "components", 1, "title"),
        'the title "LAMP" stands here again',
        id="a title in another case",
    ),
    pytest.param(
        bent(1, id="room"), ("spec", "components", 1, "id"), 'the id "room" stands here again', id="box and boundary"
    ),
]


@pytest.mark.parametrize(("bend", "path", "message"), BENT)
def test_a_component_that_does_not_close(
    bend: Callable[[Any], None], path: tuple[str | int, ...], message: str
) -> None:
    """Each opening is named at the value in docs/components.yaml."""
    assert (COMPONENTS, path, message) in said(make_documents(bend))


def test_an_owner_may_be_a_person_in_any_case() -> None:
    """Logins are compared as forges do."""
    assert said(make_documents(bent(0, owner="ada"))) == []


def test_without_owners_nobody_answers() -> None:
    """One complaint, not one for each component."""
    (complaint,) = said(make_documents(), None)
    assert "no owners file" in complaint[2]


DRAWN = [
    pytest.param("candle --> lamp\n", "the box candle is no component", id="unknown box"),
    pytest.param('lamp["Lampe"] --> plug["Plug"]\n', 'lamp has "Lampe" written on it, not "Lamp"', id="other label"),
    pytest.param('lamp --> plug["Plug"]\n', 'lamp has nothing written on it, not "Lamp"', id="no label"),
    pytest.param(
        'subgraph cellar["Cellar"]\nlamp["Lamp"] --> plug["Plug"]\nend\n',
        "the subgraph cellar is no trust boundary",
        id="unknown boundary",
    ),
    pytest.param(
        'subgraph room["Cellar"]\nlamp["Lamp"] --> plug["Plug"]\nend\n',
        'room has "Cellar" written on it, not "Room"',
        id="other boundary label",
    ),
    pytest.param(
        'subgraph cellar["Cellar"]\nlamp["Lamp"] --> plug["Plug"]\nend\n',
        "the box lamp is drawn inside cellar, and declared inside room",
        id="inside another boundary",
    ),
]


@pytest.mark.parametrize(("lines", "message"), DRAWN)
def test_a_drawing_that_does_not_close(lines: str, message: str) -> None:
    """Each opening is named at the line of the diagram."""
    path = diagram_path("more")
    assert (path, message) in [(file, text) for file, _, text in said(with_file(path, f"flowchart LR\n{lines}"))]


def test_a_playbook_that_does_not_close() -> None:
    """A playbook that nobody names, and a code in it that none of its components has, are named in it."""
    path = playbook_path("candles")
    assert (path, 1, "no component names this playbook") in said(with_file(path, playbook()))
    path = playbook_path("accuracy-drop")
    message = "no component with this playbook has the error code no_current"
    assert (path, 3, message) in said(with_file(path, playbook("no_current")))
