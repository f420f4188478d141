"""Fleet: everything that one commit declares, as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from muster.kinds.checklist import Checklist
from muster.kinds.cohort import Cohort
from muster.kinds.components import Components
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import version_key
from muster.kinds.freeze import Freeze
from muster.kinds.owners import Owners
from muster.kinds.policy import Policy, Tier
from muster.kinds.policy_test import PolicyTest
from muster.kinds.release import Release
from muster.kinds.signing_key import KeyUse, SigningKey
from muster.kinds.waiver import Waiver

AnyResource = (
    Release
    | DeviceClass
    | Cohort
    | Policy
    | Owners
    | Checklist
    | Freeze
    | Waiver
    | PolicyTest
    | SigningKey
    | Components
)

KINDS: dict[str, type[AnyResource]] = {
    "Release": Release,
    "DeviceClass": DeviceClass,
    "Cohort": Cohort,
    "Policy": Policy,
    "Owners": Owners,
    "Checklist": Checklist,
    "Freeze": Freeze,
    "Waiver": Waiver,
    "PolicyTest": PolicyTest,
    "SigningKey": SigningKey,
    "Components": Components,
}


@dataclass(frozen=True)
class Fleet:
    """What a commit declares. `commit` is None for a working tree.

    `releases` run from the newest version to the oldest within a model; `cohorts` run in their declared order.
    """

    commit: str | None
    releases: tuple[Release, ...]
    device_classes: tuple[DeviceClass, ...]
    cohorts: tuple[Cohort, ...]
    policies: tuple[Policy, ...]
    signing_keys: tuple[SigningKey, ...]
    owners: Owners | None = None
    checklist: Checklist | None = None
    freezes: tuple[Freeze, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    policy_tests: tuple[PolicyTest, ...] = ()

    @classmethod
    def of(cls, resources: Iterable[AnyResource], commit: str | None = None) -> Fleet:
        """Sort resources into a fleet. References between them are not checked here (see `check.references`)."""
        everything = list(resources)
        releases = [resource for resource in everything if isinstance(resource, Release)]
        releases.sort(key=lambda release: version_key(release.version), reverse=True)
        cohorts = [resource for resource in everything if isinstance(resource, Cohort)]
        return cls(
            commit=commit,
            releases=tuple(sorted(releases, key=lambda release: release.model)),
            device_classes=tuple(_by_name(resource for resource in everything if isinstance(resource, DeviceClass))),
            cohorts=tuple(sorted(cohorts, key=lambda cohort: (cohort.spec.order, cohort.metadata.name))),
            policies=tuple(_by_name(resource for resource in everything if isinstance(resource, Policy))),
            signing_keys=tuple(_by_name(resource for resource in everything if isinstance(resource, SigningKey))),
            owners=next((resource for resource in everything if isinstance(resource, Owners)), None),
            checklist=next((resource for resource in everything if isinstance(resource, Checklist)), None),
            freezes=tuple(_by_name(resource for resource in everything if isinstance(resource, Freeze))),
            waivers=tuple(_by_name(resource for resource in everything if isinstance(resource, Waiver))),
            policy_tests=tuple(_by_name(resource for resource in everything if isinstance(resource, PolicyTest))),
        )

    @property
    def models(self) -> tuple[str, ...]:
        """Names of all models with a release, sorted."""
        return tuple(sorted({release.model for release in self.releases}))

    def release(self, name: str) -> Release | None:
        """The release called `<model>/<version>`."""
        return next((release for release in self.releases if release.name == name), None)

    def releases_of(self, model: str, device_class: str | None = None) -> tuple[Release, ...]:
        """Releases of a model (that go to a device class), newest first."""
        return tuple(
            release
            for release in self.releases
            if release.model == model and (device_class is None or release.runtime_for(device_class))
        )

    def keys_for(self, use: KeyUse) -> tuple[SigningKey, ...]:
        """The keys that are trusted for a use."""
        return tuple(key for key in self.signing_keys if use in key.spec.uses)

    def tier(self, release: Release) -> Tier | None:
        """The tier that the release is declared to be in."""
        return next((tier for policy in self.policies if (tier := policy.tier(release.spec.tier))), None)


_Named = TypeVar("_Named", DeviceClass, Policy, SigningKey, Freeze, Waiver, PolicyTest)


def _by_name(resources: Iterable[_Named]) -> list[_Named]:
    return sorted(resources, key=lambda resource: resource.metadata.name)
