"""Fleet: everything that one commit declares, as one value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from muster.kinds.digest import version_key

if TYPE_CHECKING:
    from muster.kinds.channel import Channel
    from muster.kinds.checklist import Checklist
    from muster.kinds.cohort import Cohort
    from muster.kinds.components import Components
    from muster.kinds.device_class import DeviceClass
    from muster.kinds.freeze import Freeze
    from muster.kinds.owners import Owners
    from muster.kinds.policy import Policy, Tier
    from muster.kinds.policy_test import PolicyTest
    from muster.kinds.release import Release
    from muster.kinds.scenario import Scenario
    from muster.kinds.signing_key import KeyUse, SigningKey
    from muster.kinds.trusted_identity import IdentityUse, TrustedIdentity
    from muster.kinds.waiver import Waiver

AnyResource: TypeAlias = (
    "Release | DeviceClass | Cohort | Policy | Owners | Checklist"
    " | Freeze | Waiver | PolicyTest | SigningKey | TrustedIdentity | Components | Channel | Scenario"
)

_MODULES = {
    "Release": "release",
    "DeviceClass": "device_class",
    "Cohort": "cohort",
    "Policy": "policy",
    "Owners": "owners",
    "Checklist": "checklist",
    "Freeze": "freeze",
    "Waiver": "waiver",
    "PolicyTest": "policy_test",
    "SigningKey": "signing_key",
    "TrustedIdentity": "trusted_identity",
    "Components": "components",
    "Channel": "channel",
    "Scenario": "scenario",
}


class _Kinds(Mapping[str, "type[AnyResource]"]):
    """The kinds by name. A kind is imported when it is asked for: a verb pays for the kinds that it meets."""

    def __getitem__(self, name: str) -> type[AnyResource]:
        kind: type[AnyResource] = getattr(import_module(f"muster.kinds.{_MODULES[name]}"), name)
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


KINDS = _Kinds()


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
    identities: tuple[TrustedIdentity, ...] = ()
    channels: tuple[Channel, ...] = ()

    @classmethod
    def of(cls, resources: Iterable[AnyResource], commit: str | None = None) -> Fleet:
        """Sort resources into a fleet. References between them are not checked here (see `check.references`)."""
        found: defaultdict[str, list[Any]] = defaultdict(list)
        for resource in resources:
            found[resource.kind].append(resource)
        releases = sorted(found["Release"], key=lambda release: version_key(release.version), reverse=True)
        return cls(
            commit=commit,
            releases=tuple(sorted(releases, key=lambda release: release.model)),
            device_classes=_by_name(found["DeviceClass"]),
            cohorts=tuple(sorted(found["Cohort"], key=lambda cohort: (cohort.spec.order, cohort.metadata.name))),
            policies=_by_name(found["Policy"]),
            signing_keys=_by_name(found["SigningKey"]),
            owners=next(iter(found["Owners"]), None),
            checklist=next(iter(found["Checklist"]), None),
            freezes=_by_name(found["Freeze"]),
            waivers=_by_name(found["Waiver"]),
            policy_tests=_by_name(found["PolicyTest"]),
            identities=_by_name(found["TrustedIdentity"]),
            channels=_by_name(found["Channel"]),
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

    def identities_for(self, use: IdentityUse) -> tuple[TrustedIdentity, ...]:
        """The identities whose certificates are trusted for a use."""
        return tuple(identity for identity in self.identities if use in identity.spec.uses)

    def tier(self, release: Release) -> Tier | None:
        """The tier that the release is declared to be in."""
        return next((tier for policy in self.policies if (tier := policy.tier(release.spec.tier))), None)


_Named = TypeVar("_Named", bound="AnyResource")


def _by_name(resources: list[_Named]) -> tuple[_Named, ...]:
    return tuple(sorted(resources, key=lambda resource: resource.metadata.name))
