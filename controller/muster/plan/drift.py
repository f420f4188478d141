"""Drift: does a device run what git never declared for it, and what is done about that?

One rule set, for the controller (which counts devices by what they run) and for the device (which decides by it whether
it takes what is declared). Were the two to differ, what is ignored here would be overwritten there.

A device that lags behind runs what git once declared: that is no drift. Neither is a device that runs nothing.

1. artifact        its model is that of no release that was ever declared for its class
2. configVersion   its model is, and no such release has this config
3. runtimeVersion  model and config are those of a release that was declared with other versions of the runtime
"""

from __future__ import annotations

from dataclasses import dataclass

from muster.kinds.drift import DriftAction, DriftField, DriftRules


@dataclass(frozen=True)
class Runs:
    """What a device reports that it runs of a model."""

    model_hash: str | None
    config_version: str | None
    runtime_version: str | None


@dataclass(frozen=True)
class Difference:
    """One field in which what runs is not what was ever declared; `why` of the rule that decided, if one did."""

    field: DriftField
    value: str | None
    action: DriftAction
    why: str | None = None


def difference(rules: DriftRules, runs: Runs) -> Difference | None:
    """In what a device drifted: the first of the fields above. None if it did not."""
    if runs.model_hash is None:
        return None
    same_model = [known for known in rules.known if known.model_hash == runs.model_hash]
    if not same_model:
        return _difference(rules, "artifact", runs.model_hash)
    same = [known for known in same_model if known.config_version == runs.config_version]
    if not same:
        return _difference(rules, "configVersion", runs.config_version)
    if all(known.runtime_version not in (None, runs.runtime_version) for known in same):
        return _difference(rules, "runtimeVersion", runs.runtime_version)
    return None


def _difference(rules: DriftRules, field: DriftField, value: str | None) -> Difference:
    rule = next(
        (rule for rule in rules.rules if rule.field == field and (not rule.values or value in rule.values)), None
    )
    action = rule.action if rule else rules.action
    if field == "runtimeVersion" and action == "Correct":
        # Nothing that is published can change a device's runtime: the most that can be done is to say so.
        action = "Warn"
    return Difference(field, value, action, rule.why if rule else None)


def keeps(rules: DriftRules, runs: Runs) -> DriftAction | None:
    """`Warn` or `Ignore` if the device stays with what it runs, which was never declared; None: it follows.

    Where only the runtime differs, it follows: its model is one that was declared.
    """
    found = difference(rules, runs)
    if found is None or found.field == "runtimeVersion" or found.action == "Correct":
        return None
    return found.action
