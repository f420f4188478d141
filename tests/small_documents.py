"""Small documents that close over each other, to be bent by tests."""

from __future__ import annotations

import yaml

from muster.check.documents.tree import COMPONENTS, REQUIRED_DIAGRAMS, REQUIRED_PLAYBOOKS, diagram_path, playbook_path
from muster.kinds.owners import Owners

DIAGRAM = """\
%% Two boxes.
flowchart LR
    subgraph room["Room"]
        lamp(["Lamp"])
        plug[("Plug")]
    end
    plug -->|"current"| lamp
"""

SEQUENCE = """\
sequenceDiagram
    autonumber
    actor lamp as Lamp
    participant plug as Plug
    alt it is dark
        lamp->>+plug: ask for current
        plug-->>-lamp: current
    else it is light
        Note over lamp,plug: nothing to do
    end
"""

PLAYBOOK = """\
# It is dark

Error codes: CODES

## Symptom

Nobody sees anything.

## Impact

People fall.

## Immediate mitigations

1. Open the window.

## Diagnostics

```console
$ muster get devices
lamp  dark
$ muster get status
```

Log keys: `error_code`, `phase`

## Root-cause candidates

- The plug.

## Resolution

Put it in.

### If that does not help

Call somebody.

## Post-incident actions

- Buy candles.
"""

CODES = ("no_current", "bulb_broken")
"""Those that the program of these documents has."""

OWNERS = Owners.model_validate(
    {
        "metadata": {"name": "owners"},
        "spec": {"people": [{"login": "Ada", "roles": ["firmware"]}], "policyOwners": ["Ada"]},
    }
)


def playbook(*codes: str) -> str:
    """A playbook about these error codes."""
    return PLAYBOOK.replace("CODES", ", ".join(f"`{code}`" for code in codes) or "none")


def component(name: str, page: str, *codes: str) -> dict[str, object]:
    """One component as plain data, with its own playbook."""
    return {
        "id": name,
        "title": name.capitalize(),
        "owner": "firmware",
        "playbook": page,
        "errorCodes": list(codes),
        "trustBoundary": "room",
        "dataTypes": ["current"],
        "retention": "none",
        "failureModes": ["it breaks, and somebody mends it"],
    }


def components() -> dict[str, object]:
    """Plain data of docs/components.yaml: four components, so that each required playbook has one."""
    return {
        "apiVersion": "muster/v1",
        "kind": "Components",
        "metadata": {"name": "components"},
        "spec": {
            "boundaries": [{"id": "room", "title": "Room", "trusts": "Whoever is in it."}],
            "components": [
                component("lamp", "model-fails-to-load", "bulb_broken"),
                component("plug", "latency-spikes", "no_current"),
                component("switch", "accuracy-drop"),
                component("wire", "updated-but-unchanged"),
            ],
        },
    }


def document_files() -> dict[str, str]:
    """Path → text of every required document."""
    drawn = DIAGRAM + '    switch["Switch"] --- wire["Wire"] & plug\n'
    codes = {"model-fails-to-load": ("bulb_broken",), "latency-spikes": ("no_current",)}
    return {
        COMPONENTS: yaml.safe_dump(components(), sort_keys=False),
        **{diagram_path(name): SEQUENCE for name in REQUIRED_DIAGRAMS},
        diagram_path("components"): drawn,
        **{playbook_path(name): playbook(*codes.get(name, ())) for name in REQUIRED_PLAYBOOKS},
    }
