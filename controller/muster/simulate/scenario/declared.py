"""What git declares in a scenario: a fleet made through the kinds, like any other.

Pins of simulated releases are digests of their names: no artifact is behind them, and nothing here builds or signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from muster.kinds.cohort import Cohort
from muster.kinds.desired import DesiredDocument
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import digest_of
from muster.kinds.errors import Unusable
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Policy, Tier, TierName
from muster.kinds.quantity import PPM, format_percent
from muster.kinds.release import Inference, Release
from muster.kinds.scenario import ScenarioSpec
from muster.kinds.signing_key import SigningKey
from muster.plan.documents import desired_documents
from muster.plan.world import World

MODEL = "simulated"
CANARY, REST = "canary", "fleet"
OS_VERSION = "12"
RUNTIME = {"name": "onnxruntime", "version": "1.31.1"}
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
"""Not a key: the planner compares texts, and nothing is signed."""

_INFERENCE = {
    "input": {"name": "frame", "shape": [1, 8, 8], "normalization": {"kind": "stretch"}},
    "output": {"name": "scores", "labels": ["0", "1"]},
    "thresholds": {"confidence": "50%", "minConfident": "60%"},
}


@dataclass(frozen=True)
class Declared:
    """The parts of the fleet that stay; `commit` adds the releases."""

    spec: ScenarioSpec
    policy: Policy
    tier: Tier
    signer: str = PUBLIC_KEY

    def commit(self, rollouts: Mapping[int, Mapping[str, int]], number: int) -> Fleet:
        """The fleet as of the commit of this number: release → cohort → ppm."""
        releases = [self.release(index, cohorts) for index, cohorts in rollouts.items()]
        return Fleet.of([*releases, *self._rest()], f"{number:040x}")

    def release(self, index: int, cohorts: Mapping[str, int]) -> Release:
        """A release with every pin filled in from its version."""
        version = self.spec.releases[index].version
        return Release.model_validate(_release(version, self.tier.name, self.spec, cohorts))

    def example_document(self) -> DesiredDocument:
        """A document with every release on offer: what a device fetches when something changed."""
        share = {CANARY: PPM, REST: PPM}
        half = {CANARY: PPM, REST: PPM // 2}
        fleet = self.commit({number: half if number else share for number in range(len(self.spec.releases))}, 1)
        world = World(signer=self.signer, prepared=frozenset(release.pins for release in fleet.releases))
        return next(iter(desired_documents(fleet, world, {}, 1).values()))

    def name(self, index: int) -> str:
        """The name of a release."""
        return f"{MODEL}/{self.spec.releases[index].version}"

    def _rest(self) -> list[Policy | DeviceClass | Cohort | SigningKey]:
        classes = [DeviceClass.model_validate(_device_class(one.name)) for one in self.spec.population.classes]
        return [self.policy, *classes, *_cohorts(), _key()]


def declare(spec: ScenarioSpec, policy: Policy, tier: TierName) -> Declared:
    """Raises `Unusable` if the policy has no such tier."""
    found = policy.tier(tier)
    if found is None:
        raise Unusable(f"policy {policy.metadata.name} has no tier {tier}", "name one that it has with --tier")
    return Declared(spec, policy, found)


def _cohorts() -> list[Cohort]:
    canary = {"metadata": {"name": CANARY}, "spec": {"order": 1, "selector": {"matchLabels": {"ring": CANARY}}}}
    return [Cohort.model_validate(one) for one in (canary, {"metadata": {"name": REST}, "spec": {"order": 2}})]


def _key() -> SigningKey:
    return SigningKey.model_validate({"metadata": {"name": "simulated"}, "spec": {"publicKey": PUBLIC_KEY}})


def _pin(text: str) -> str:
    return digest_of(f"simulated {text}".encode())


def _device_class(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "spec": {
            "hardware": "simulated",
            "isa": ["x86-64-v2"],
            "os": {"name": "debian", "versions": [OS_VERSION]},
            "runtime": {**RUNTIME, "providers": ["CPUExecutionProvider"]},
            "budgets": {"storage": "1GiB", "peakRam": "512MiB", "loadTime": "2s", "p95Latency": "20ms"},
            "rates": {"multiplyAccumulates": "1G/s", "memory": "1G/s", "overhead": "100us"},
            "models": [MODEL],
        },
    }


def _release(version: str, tier: str, spec: ScenarioSpec, cohorts: Mapping[str, int]) -> dict[str, object]:
    names = [one.name for one in spec.population.classes]
    lineage = {"trainingCommit": "c" * 40, "runId": "simulated", "dataset": _pin("data"), "environment": _pin("lock")}
    return {
        "metadata": {"name": MODEL, "version": version},
        "spec": {
            "tier": tier,
            "source": {
                "digest": _pin(f"source {version}"),
                "size": 100,
                "lineage": {**lineage, "seeds": [1], "hyperparameters": {}, "owner": "simulated"},
            },
            "recipe": {
                "import": {"maxSize": "1MiB"},
                "preprocess": {},
                "calibrate": {"method": "minmax", "batch": 8},
                "snap": {"mantissaBits": 10},
                "quantize": {"operators": ["Conv"], "perChannel": True, "reduceRange": True, "activations": "uint8"},
            },
            "snapshots": {
                "calibration": _pin("calibration"),
                "evaluation": _pin("evaluation"),
                "golden": {"inputs": _pin("golden"), "expected": _pin("answers"), "tolerance": "0.05"},
            },
            "calibrationTable": _pin(f"table {version}"),
            "builder": {"lock": "builders/simulated.lock", "digest": _pin("lock")},
            "stages": {
                stage: _pin(f"{stage} {version}") for stage in ("imported", "preprocessed", "calibrated", "quantized")
            },
            "artifact": {"digest": _pin(f"artifact {version}"), "size": spec.artifact_size},
            "onnx": {"opset": 17, "ir": 8},
            "runtimes": [{"deviceClass": name, **RUNTIME, "provider": "CPUExecutionProvider"} for name in names],
            "inference": _INFERENCE,
            "configVersion": Inference.model_validate(_INFERENCE).config_version,
            "rollout": {"cohorts": {name: format_percent(min(ppm, PPM)) for name, ppm in cohorts.items()}},
        },
    }
