"""Edits of declared files that keep comments, order and layout."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from typing import Any

from muster.kinds.errors import Refused
from muster.kinds.quantity import parse_percent
from muster.source.yaml_events import YamlFault, parse


def set_rollout(text: str, cohorts: Mapping[str, str]) -> str:
    """The release file with `spec.rollout.cohorts` set to these percentages ("25%"), and nothing else changed.

    Raises `Refused` for a file without that field, for a text that is no percentage, and if an edit would change
    anything else.
    """
    for percent in cohorts.values():
        try:
            parse_percent(percent)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise Refused(message, hint or None) from error
    before = _data(text)
    try:
        declared = before["spec"]["rollout"]["cohorts"]
    except (TypeError, KeyError) as error:
        raise Refused("the file has no spec.rollout.cohorts", "edit a release file") from error
    if not isinstance(declared, dict):
        raise Refused("spec.rollout.cohorts holds no percentages", "write `cohort: percentage` below it")
    edited = _edit(text, cohorts) if declared != cohorts else text
    after = _data(edited)
    if after["spec"]["rollout"].pop("cohorts") != dict(cohorts):
        raise Refused("the rollout cannot be edited in place", "edit the file by hand")
    before["spec"]["rollout"].pop("cohorts")
    if after != before:
        raise Refused("the edit would change more than the rollout", "edit the file by hand")
    return edited


def _edit(text: str, cohorts: Mapping[str, str]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    yaml: Any = YAML()
    yaml.preserve_quotes = True
    yaml.width = 2**20
    # A list's dash may stand below its key or be indented: keep what the file does.
    if "\n  - " in text or "\n    - " in text:
        offset = _dash_offset(text)
        yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    document = yaml.load(text)
    rollout = document["spec"]["rollout"]["cohorts"]
    for name in [name for name in rollout if name not in cohorts]:
        del rollout[name]
    for name, percent in cohorts.items():
        rollout[name] = DoubleQuotedScalarString(percent)
    edited = io.StringIO()
    yaml.dump(document, edited)
    return edited.getvalue()


def _dash_offset(text: str) -> int:
    lines = text.splitlines()
    for above, line in itertools.pairwise(lines):
        if line.lstrip().startswith("- ") and above.rstrip().endswith(":"):
            return max(0, (len(line) - len(line.lstrip())) - (len(above) - len(above.lstrip())))
    return 0


def _data(text: str) -> Any:
    try:
        return parse(text.encode()).data
    except YamlFault as fault:
        line, column = fault.spot
        raise Refused(f"line {line}, column {column}: {fault.message}", fault.hint) from fault
