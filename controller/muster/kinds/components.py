"""Components: what stands behind every box of the diagrams. Who answers for it, what can go wrong, where to read on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.digest import ErrorCode, Name
from muster.kinds.owners import Login
from muster.kinds.resource import AsTuple, Declared, Resource, Text

BoxId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""How diagrams call a box: plain letters, so that two that look alike are the same."""

Title = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ,./()'_-]{0,78}[A-Za-z0-9)]$")]
"""What diagrams write on a box."""


class Boundary(Declared):
    """A trust boundary: what is inside trusts each other as far as `trusts` says. Diagrams draw it as a subgraph."""

    id: BoxId
    title: Title
    trusts: Text


class Component(Declared):
    """One box. `owner` is a role or a login of the owners file; `playbook` a file of docs/playbooks, without `.md`.

    `errorCodes` are those that a device reports because of it, and stand in its playbook. `dataTypes` is what it holds
    or passes on, `retention` for how long. `failureModes`: what goes wrong, and what then happens.
    """

    id: BoxId
    title: Title
    owner: Login
    playbook: Name
    error_codes: Annotated[tuple[ErrorCode, ...], AsTuple, Field(max_length=64)] = ()
    trust_boundary: BoxId
    data_types: Annotated[tuple[Text, ...], AsTuple, Field(min_length=1, max_length=32)]
    retention: Text
    failure_modes: Annotated[tuple[Text, ...], AsTuple, Field(min_length=1, max_length=32)]


class ComponentsSpec(Declared):
    """All boxes of all diagrams, and the boundaries between them."""

    boundaries: Annotated[tuple[Boundary, ...], AsTuple, Field(min_length=1, max_length=32)]
    components: Annotated[tuple[Component, ...], AsTuple, Field(min_length=1, max_length=200)]


class Components(Resource):
    """docs/components.yaml"""

    kind: Literal["Components"] = "Components"
    spec: ComponentsSpec
