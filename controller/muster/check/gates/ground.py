"""Ground: what all questions about one case share, looked up and read once however many releases ask."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from muster.check.case import Case
from muster.kinds.device_class import DeviceClass
from muster.kinds.evidence import Evidence
from muster.kinds.fleet import Fleet
from muster.kinds.release import Release

_Predicate = TypeVar("_Predicate", bound=BaseModel)
_FOLDER = re.compile(r"evidence/([0-9a-f]{64})/")


@dataclass(frozen=True)
class Ground:
    """A case, with its parts by name. `read` remembers what it read; the answers do not depend on that."""

    case: Case
    _read: dict[tuple[int, type[BaseModel]], BaseModel | str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def evidence(self) -> Mapping[str, tuple[Evidence, ...]]:
        """By digest of an artifact: what is about it, and what stands in its folder."""
        return _by_artifact(self.case.evidence)

    @cached_property
    def former_evidence(self) -> Mapping[str, tuple[Evidence, ...]]:
        """The same, for what the change removes or replaces."""
        return _by_artifact(self.case.former_evidence)

    @cached_property
    def added(self) -> frozenset[str]:
        """Names of the releases that the change adds."""
        return frozenset(release.name for release in self.case.change.added)

    @cached_property
    def models(self) -> Mapping[str, tuple[Release, ...]]:
        """The base's releases by model, newest first."""
        found: defaultdict[str, list[Release]] = defaultdict(list)
        for release in self.case.change.base.releases:
            found[release.model].append(release)
        return {model: tuple(releases) for model, releases in found.items()}

    @cached_property
    def releases(self) -> Mapping[str, Release]:
        """By name: as the base has them, and those that are new."""
        change = self.case.change
        return {release.name: release for release in (*change.head.releases, *change.base.releases)}

    @cached_property
    def base_classes(self) -> Mapping[str, DeviceClass]:
        """By name, as the base declares them."""
        return _by_name(self.case.change.base)

    @cached_property
    def head_classes(self) -> Mapping[str, DeviceClass]:
        """By name, as they will be once the change is merged."""
        return _by_name(self.case.change.head)

    def read(self, model: type[_Predicate], evidence: Evidence) -> _Predicate | str:
        """The predicate as that kind; or where it is malformed."""
        # The case holds its evidence while this lives: an identity stands for one statement.
        key = (id(evidence), model)
        if key not in self._read:
            self._read[key] = _parsed(model, evidence)
        found = self._read[key]
        assert isinstance(found, model | str)
        return found


def _parsed(model: type[_Predicate], evidence: Evidence) -> _Predicate | str:
    try:
        return model.model_validate(evidence.predicate)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(ascii(step[:40])[1:-1] if isinstance(step, str) else str(step) for step in first["loc"])
        return f"malformed predicate: {where}: {first['type']}"


def _by_artifact(evidence: Iterable[Evidence]) -> Mapping[str, tuple[Evidence, ...]]:
    found: defaultdict[str, list[Evidence]] = defaultdict(list)
    for one in evidence:
        folder = _FOLDER.match(one.path)
        for digest in {*one.subjects, *([f"sha256:{folder[1]}"] if folder else [])}:
            found[digest].append(one)
    return {digest: tuple(ones) for digest, ones in found.items()}


def _by_name(fleet: Fleet) -> Mapping[str, DeviceClass]:
    return {found.metadata.name: found for found in fleet.device_classes}
