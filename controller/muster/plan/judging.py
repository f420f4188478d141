"""What must be known to count a report: which labels, versions and providers are declared, and what guardrails read.

It is small, changes only with the declaration, and is kept beside the counts: they are made anew when it changes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from muster.kinds.fleet import Fleet
from muster.plan.draws import Offer, Offers
from muster.plan.maintenance import longest_wait

OTHER = "other"


@dataclass(frozen=True)
class Judging:
    """`versions`: what a class may have, by "os" and "runtime". `providers`: by (release, class). `readings`: what
    some guardrail reads. `keys`: declared numeric keys with their scale. `waits`: milliseconds that a device of a class
    may wait for its maintenance window and its turn. `offers`: what is published, not declared.
    """

    labels: tuple[str, ...] = ()
    versions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    providers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    readings: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    waits: Mapping[str, int] = field(default_factory=dict)
    offers: Offers = field(default_factory=dict)

    def stratum(self, device_class: str, labels: Mapping[str, str], os: str | None, runtime: str | None) -> str:
        """Devices of a class that are judged together, as `os=12.4 runtime=1.31.1 label.site=north`.

        A version that the class does not declare is "other", so that nobody can make up strata without end.
        """
        declared = self.versions.get(device_class, {})
        parts = [
            f"os={os if os in declared.get('os', ()) else OTHER}",
            f"runtime={runtime if runtime in declared.get('runtime', ()) else OTHER}",
            *(f"label.{label}={labels.get(label, '')}" for label in self.labels),
        ]
        return " ".join(parts)

    @functools.cached_property
    def drawn(self) -> Mapping[tuple[str, str], Mapping[str, Offer]]:
        """(device class, model) → the releases of it that devices are drawn for, with their offers."""
        found: dict[tuple[str, str], dict[str, Offer]] = {}
        for device_class, offers in self.offers.items():
            for release, offer in offers.items():
                if any(ppm for _, shares in offer.steps for _, ppm in shares):
                    found.setdefault((device_class, release.partition("/")[0]), {})[release] = offer
        return found

    def as_json(self) -> dict[str, Any]:
        """For the storage."""
        return {
            "labels": list(self.labels),
            "versions": {
                name: {what: list(versions) for what, versions in declared.items()}
                for name, declared in self.versions.items()
            },
            "providers": {release: dict(classes) for release, classes in self.providers.items()},
            "readings": list(self.readings),
            "keys": dict(self.keys),
            "waits": dict(self.waits),
            "offers": {
                name: {release: offer.as_json() for release, offer in offers.items()}
                for name, offers in self.offers.items()
            },
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any] | None) -> Judging:
        """What `as_json` wrote; nothing is declared if nothing was written."""
        if not said:
            return cls()
        return cls(
            labels=tuple(said["labels"]),
            versions={
                name: {what: tuple(versions) for what, versions in declared.items()}
                for name, declared in said["versions"].items()
            },
            providers=said["providers"],
            readings=tuple(said["readings"]),
            keys=said["keys"],
            waits=said.get("waits", {}),  # a former version kept none
            offers={
                name: {release: Offer.of_json(offer) for release, offer in offers.items()}
                for name, offers in said.get("offers", {}).items()
            },
        )


def judging_of(fleet: Fleet) -> Judging:
    """What the fleet declares. All tiers together: a device belongs to no tier, its release does."""
    tiers = [tier for policy in fleet.policies for tier in policy.spec.tiers]
    return Judging(
        labels=tuple(sorted({label for tier in tiers for label in tier.strata})),
        versions={
            item.metadata.name: {"os": item.spec.os.versions, "runtime": (item.spec.runtime.version,)}
            for item in fleet.device_classes
        },
        providers={
            release.name: {runtime.device_class: runtime.provider for runtime in release.spec.runtimes}
            for release in fleet.releases
        },
        readings=tuple(sorted({guardrail.reading for tier in tiers for guardrail in tier.guardrails})),
        keys={key.name: key.scale for policy in fleet.policies for key in policy.spec.numeric_keys},
        waits={
            item.metadata.name: -(-wait // 1_000)
            for item in fleet.device_classes
            if (wait := longest_wait(item.spec.maintenance, item.spec.disruption))
        },
    )
