"""Which rules hold where, and what of all that devices run drifted. Cost: what is different, never how many devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import version_key
from muster.kinds.drift import MOST_KNOWN, DriftRules, Known
from muster.kinds.fleet import Fleet
from muster.plan.drift import Difference, Runs, difference


@dataclass(frozen=True)
class Drift:
    """So many devices of a class that run the same, which git never declared for them. `since`: when first seen."""

    device_class: str
    model: str
    runs: Runs
    difference: Difference
    devices: int = 0
    since: datetime | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """Device class, model, and the field that differs."""
        return self.device_class, self.model, self.difference.field


def rules_of(device_class: DeviceClass, model: str, named: Mapping[str, Mapping[str, Any]]) -> DriftRules:
    """The rules of a class for a model. `named`: release → pins, of every release that was ever declared."""
    spec = device_class.spec
    versions = [
        (version_key(name.partition("/")[2]), pins) for name, pins in named.items() if name.partition("/")[0] == model
    ]
    newest = sorted(versions, key=lambda pair: pair[0], reverse=True)
    known = [found for _, pins in newest if (found := _known(pins, device_class.metadata.name)) is not None]
    return DriftRules(action=spec.drift, rules=spec.drift_rules, known=tuple(known[:MOST_KNOWN]))


def _known(pins: Mapping[str, Any], device_class: str) -> Known | None:
    runtimes = pins.get("runtimes")
    if runtimes is not None and device_class not in runtimes:
        return None
    return Known(
        model_hash=pins["model_hash"],
        config_version=pins["config_version"],
        runtime_version=runtimes[device_class] if runtimes is not None else None,
    )


def travels(rules: DriftRules) -> bool:
    """True if devices must know: some of them may keep what was never declared. Otherwise all take what is declared."""
    return rules.action != "Correct" or any(
        rule.action != "Correct" for rule in rules.rules if rule.field != "runtimeVersion"
    )


def drift(
    fleet: Fleet, named: Mapping[str, Mapping[str, Any]], seen: Sequence[tuple[str, str, Runs]]
) -> tuple[Drift, ...]:
    """What of `seen` (device class, model, what is run there) drifted, without numbers of devices.

    Devices of a class, or with a model, that is not declared any more are left out: nothing says what they should run.
    """
    rules = {
        (item.metadata.name, model): rules_of(item, model, named)
        for item in fleet.device_classes
        for model in item.spec.models
    }
    return tuple(
        Drift(device_class, model, runs, found)
        for device_class, model, runs in seen
        if (device_class, model) in rules and (found := difference(rules[device_class, model], runs)) is not None
    )


def since(found: Sequence[Drift], before: Mapping[tuple[str, str, Runs], datetime], now: datetime) -> tuple[Drift, ...]:
    """With the moment at which each was first seen."""
    return tuple(replace(one, since=before.get((one.device_class, one.model, one.runs), now)) for one in found)
