"""What `muster get` lists: rows as data, and as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from muster.cli.output import table
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import format_percent

DIGITS = 12
"""Of a digest, in a table."""


def releases(fleet: Fleet) -> list[dict[str, Any]]:
    """Every declared release."""
    return [
        {
            "release": release.name,
            "tier": release.spec.tier,
            "supersedes": release.spec.supersedes,
            "artifact": release.spec.artifact.digest,
            "classes": [runtime.device_class for runtime in release.spec.runtimes],
            "rollout": {name: format_percent(ppm) for name, ppm in release.spec.rollout.cohorts.items()},
        }
        for release in fleet.releases
    ]


def classes(fleet: Fleet) -> list[dict[str, Any]]:
    """Every declared device class."""
    return [
        {
            "class": item.metadata.name,
            "runtime": item.spec.runtime.name,
            "version": item.spec.runtime.version,
            "providers": list(item.spec.runtime.providers),
            "models": list(item.spec.models),
            "hardware": item.spec.hardware,
        }
        for item in fleet.device_classes
    ]


def cohorts(fleet: Fleet) -> list[dict[str, Any]]:
    """Every declared cohort, in the order in which they are matched."""
    return [
        {
            "cohort": item.metadata.name,
            "order": item.spec.order,
            "matchLabels": dict(item.spec.selector.match_labels),
        }
        for item in fleet.cohorts
    ]


DECLARED: dict[str, Callable[[Fleet], list[dict[str, Any]]]] = {
    "releases": releases,
    "classes": classes,
    "cohorts": cohorts,
}


def print_declared(what: str, rows: Sequence[Mapping[str, Any]], revision: str) -> None:
    """Rows of `DECLARED` as a table."""
    if not rows:
        click.echo(f"no {what} are declared at {revision}")
        return
    table(list(rows[0]), [[_cell(key, value) for key, value in row.items()] for row in rows])


def print_published(published: Mapping[str, Any]) -> None:
    """What devices can fetch now, as a table."""
    if not published["documents"]:
        click.echo("nothing is published yet")
        return
    rows = []
    for document in published["documents"]:
        place = [document["model"], document["deviceClass"], document["generation"]]
        rows += [
            [*place, entry["release"], shares_text(entry["ppm"]), _short(entry["artifact"])]
            for entry in document["entries"]
        ]
        rows += [[*place, halt["release"], f"halted: {halt['reason']}", "-"] for halt in document["halted"]]
        if not document["entries"] and not document["halted"]:
            rows.append([*place, "-", "nothing is on offer", "-"])
    click.echo(f"generation {published['generation']}")
    table(["model", "class", "since generation", "release", "share", "artifact"], rows)


def print_enrolments(rows: Sequence[Mapping[str, Any]]) -> None:
    """Ids that are no devices, as a table."""
    if not rows:
        click.echo("nothing is expected, waits, or was revoked")
        return
    table(
        ["device", "class", "state", "since", "labels", "by", "why"],
        [
            [
                *(row[key] for key in ("deviceId", "deviceClass", "state", "since")),
                ", ".join(f"{key}={value}" for key, value in sorted(row["labels"].items())) or "-",
                row["by"] or "-",
                row["why"] or "-",
            ]
            for row in rows
        ],
    )


def print_devices(states: Sequence[Mapping[str, Any]]) -> None:
    """Device states as a table."""
    if not states:
        click.echo("no device is enrolled")
        return
    keys = ("deviceId", "deviceClass", "cohort", "model", "desired", "running")
    table(
        ["device", "class", "cohort", "model", "desired", "running", "synced", "phase", "error", "last seen"],
        [
            [
                *(state[key] or "-" for key in keys),
                "yes" if state["synced"] else "no",
                *(state[key] or "-" for key in ("phase", "errorCode", "lastSeen")),
            ]
            for state in states
        ],
    )


def print_captures(samples: Sequence[Mapping[str, Any]]) -> None:
    """Samples that devices sent, as a table: nothing of who sent them."""
    if not samples:
        click.echo("no samples")
        return
    keys = ("id", "purpose", "release", "deviceClass", "locale", "because", "failureMode", "label", "corrected")
    table(
        ["id", "purpose", "release", "class", "locale", "because", "failure mode", "answered", "corrected",
         "confidence", "taken on", "expires at"],
        [
            [
                *(_printable(sample.get(key) or "-") for key in keys),
                format_percent(sample["confidence"]),
                sample["takenOn"],
                sample["expiresAt"],
            ]
            for sample in samples
        ],
    )  # fmt: skip


def _printable(text: str) -> str:
    """What a device wrote must not steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def print_drift(drift: Mapping[str, Any]) -> None:
    """What devices run that git never declared for them, as a table."""
    if not drift["items"]:
        click.echo("no device runs what git never declared for it")
        return
    table(
        ["class", "model", "field", "value", "devices", "action", "since", "first devices"],
        [
            [
                *(item[key] for key in ("deviceClass", "model")),
                item["difference"]["field"],
                _short(item["difference"]["value"] or "-"),
                item["devices"],
                item["difference"]["action"],
                item["since"],
                ", ".join(item["names"][:5]),
            ]
            for item in drift["items"]
        ],
    )
    if drift["of"] > len(drift["items"]):
        click.echo(f"and {drift['of'] - len(drift['items'])} more")


def print_status(status: Mapping[str, Any]) -> None:
    """The loop's own words, and how far the fleet came."""
    click.echo(
        f"commit {status.get('commit')}  generation {status.get('generation')}  "
        f"sync {status.get('sync')}  health {status.get('health')}"
    )
    for condition in status.get("conditions", []):
        click.echo(f"  {condition['type']}: {condition['status']} ({condition['reason']}) {condition['message']}")
    for suspension in status.get("suspensions", []):
        until = f" until {suspension['until']}" if suspension.get("until") else ""
        who = f"since {suspension['at']}{until} by {suspension.get('by', '?')}"
        click.echo(f"  suspended: {suspension['release']} {who}: {suspension['reason']}")
    if not status["fleet"]:
        click.echo("no device is enrolled")
        return
    numbers = ("devices", "synced", "healthy", "silent")
    table(
        ["model", "class", *numbers, "running"],
        [
            [
                row["model"],
                row["deviceClass"],
                *(row[name] for name in numbers),
                ", ".join(f"{name} ×{count}" for name, count in sorted(row["running"].items())) or "-",
            ]
            for row in status["fleet"]
        ],
    )


def shares_text(ppm: Mapping[str, int]) -> str:
    """Shares of cohorts, in parts per million, as percentages."""
    return ", ".join(f"{name} {format_percent(share)}" for name, share in ppm.items())


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:DIGITS]


def _cell(key: str, value: Any) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(value) or "-"
        case dict() if key == "matchLabels":
            return ", ".join(f"{name}={text}" for name, text in value.items()) or "every device"
        case dict():
            return ", ".join(f"{name} {text}" for name, text in value.items()) or "-"
    return _short(value) if key == "artifact" else str(value)
