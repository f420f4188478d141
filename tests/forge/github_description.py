"""GitHub's published OpenAPI description, cut to the operations that Muster asks for, so that a mock starts quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parents[2] / ".peers" / "forge" / "node_modules"
DESCRIPTION = PEERS / "@octokit" / "openapi" / "generated" / "api.github.com.json"
EXAMPLES = PEERS / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"
PRISM = PEERS / "@stoplight" / "prism-cli" / "dist" / "index.js"

_REPOSITORY = "/repos/{owner}/{repo}"
OPERATIONS = (
    ("get", "/user"),
    ("get", f"{_REPOSITORY}/git/ref/{{ref}}"),
    ("get", f"{_REPOSITORY}/pulls"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}/commits"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}/files"),
    ("get", f"{_REPOSITORY}/pulls/{{pull_number}}/reviews"),
    ("get", f"{_REPOSITORY}/issues/{{issue_number}}/comments"),
    ("post", f"{_REPOSITORY}/issues/{{issue_number}}/comments"),
    ("patch", f"{_REPOSITORY}/issues/comments/{{comment_id}}"),
    ("post", f"{_REPOSITORY}/statuses/{{sha}}"),
    ("post", f"{_REPOSITORY}/check-runs"),
    ("patch", f"{_REPOSITORY}/check-runs/{{check_run_id}}"),
)
"""Everything that the driver may ask for; the mock answers 404 to the rest."""


def cut_description() -> dict[str, Any]:
    """The description with these operations and what they refer to."""
    whole = json.loads(DESCRIPTION.read_bytes())
    paths: dict[str, Any] = {}
    for method, path in OPERATIONS:
        paths.setdefault(path, {})[method] = whole["paths"][path][method]
    return {
        "openapi": whole["openapi"],
        "info": whole["info"],
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": _referred(paths, whole["components"]),
    }


def _referred(value: Any, components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            reference = part.get("$ref")
            if isinstance(reference, str):
                kind, name = reference.removeprefix("#/components/").split("/")
                if name not in found.setdefault(kind, {}):
                    found[kind][name] = components[kind][name]
                    waiting.append(components[kind][name])
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found
