"""Where documents stand, and what was read of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from muster.kinds.components import Components

COMPONENTS = "docs/components.yaml"
DIAGRAMS = "docs/diagrams/"
PLAYBOOKS = "docs/playbooks/"
UNDER = (DIAGRAMS.rstrip("/"), PLAYBOOKS.rstrip("/"), COMPONENTS)
"""Nothing else below docs/ is a document of ours."""

REQUIRED_DIAGRAMS = ("context", "components", "inference", "update", "error-handling")
REQUIRED_PLAYBOOKS = ("model-fails-to-load", "accuracy-drop", "latency-spikes", "updated-but-unchanged")


def diagram_path(name: str) -> str:
    """Where the diagram of that name stands."""
    return f"{DIAGRAMS}{name}.mmd"


def playbook_path(name: str) -> str:
    """Where the playbook of that name stands."""
    return f"{PLAYBOOKS}{name}.md"


REQUIRED = (
    COMPONENTS,
    *(diagram_path(name) for name in REQUIRED_DIAGRAMS),
    *(playbook_path(name) for name in REQUIRED_PLAYBOOKS),
)


@dataclass(frozen=True)
class Documents:
    """Texts by path. `unreadable` are paths that stand there and could not be read: somebody complained of them.

    A fleet that has none of these files has nothing to be held to.
    """

    components: Components | None = None
    diagrams: Mapping[str, str] = field(default_factory=dict)
    playbooks: Mapping[str, str] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()

    @property
    def paths(self) -> frozenset[str]:
        """Everything that stands there, readable or not."""
        components = (COMPONENTS,) if self.components is not None else ()
        return frozenset({*components, *self.diagrams, *self.playbooks}) | self.unreadable
