"""Small fleets for tests, made through the kinds like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from muster.kinds.cohort import Cohort
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import digest_of
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Policy
from muster.kinds.release import Inference, Release
from muster.kinds.signing_key import SigningKey

MODEL = "meter-reader"
COMMIT = "c" * 40
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"

INFERENCE = {
    "input": {"name": "frame", "shape": [1, 8, 8], "normalization": {"kind": "stretch"}},
    "output": {"name": "probabilities", "labels": ["0", "1"]},
    "thresholds": {"confidence": "50%", "minConfident": "60%"},
}
RECIPE = {
    "import": {"maxSize": "1MiB"},
    "preprocess": {},
    "calibrate": {"method": "minmax", "batch": 8},
    "snap": {"mantissaBits": 10},
    "quantize": {"operators": ["Conv"], "perChannel": True, "reduceRange": True, "activations": "uint8"},
}


def pin(text: str) -> str:
    """A digest that differs for every text."""
    return digest_of(text.encode())


def make_release(
    version: str,
    cohorts: Mapping[str, str],
    *,
    classes: tuple[str, ...] = ("cam-day", "cam-lowlight"),
    supersedes: str | None = None,
    tier: str = "production",
) -> Release:
    """A release with every pin filled in from its version."""
    return Release.model_validate(
        {
            "metadata": {"name": MODEL, "version": version},
            "spec": {
                "tier": tier,
                "supersedes": supersedes,
                "source": {
                    "digest": pin(f"source {version}"),
                    "size": 100,
                    "lineage": {
                        "trainingCommit": COMMIT,
                        "runId": "run-1",
                        "dataset": pin("digits"),
                        "environment": pin("lock"),
                        "seeds": [7],
                        "hyperparameters": {"epochs": "3"},
                        "owner": "ml@fleet.example",
                    },
                },
                "recipe": RECIPE,
                "snapshots": {
                    "calibration": pin("calibration"),
                    "evaluation": pin("evaluation"),
                    "golden": {"inputs": pin("golden"), "expected": pin("answers"), "tolerance": "0.05"},
                },
                "calibrationTable": pin(f"table {version}"),
                "builder": {"lock": "builders/test.lock", "digest": pin("lock")},
                "stages": {
                    stage: pin(f"{stage} {version}")
                    for stage in ("imported", "preprocessed", "calibrated", "quantized")
                },
                "artifact": {"digest": pin(f"artifact {version}"), "size": 1_000},
                "onnx": {"opset": 17, "ir": 8},
                "runtimes": [
                    {
                        "deviceClass": name,
                        "name": "onnxruntime",
                        "version": "1.31.1",
                        "provider": "CPUExecutionProvider",
                    }
                    for name in classes
                ],
                "inference": INFERENCE,
                "configVersion": Inference.model_validate(INFERENCE).config_version,
                "rollout": {"cohorts": dict(cohorts)},
            },
        }
    )


def make_class(name: str, *, may_be_empty: bool = False) -> DeviceClass:
    """A device class that runs the model."""
    return DeviceClass.model_validate(
        {
            "metadata": {"name": name},
            "spec": {
                "hardware": "a board",
                "isa": ["x86-64-v2"],
                "os": {"name": "debian", "versions": ["12"]},
                "runtime": {"name": "onnxruntime", "version": "1.31.1", "providers": ["CPUExecutionProvider"]},
                "budgets": {"storage": "1MiB", "peakRam": "64MiB", "loadTime": "1s", "p95Latency": "10ms"},
                "rates": {"multiplyAccumulates": "1G/s", "memory": "1G/s", "overhead": "100us"},
                "models": [MODEL],
                "mayBeEmpty": may_be_empty,
            },
        }
    )


def make_cohort(name: str, order: int, **labels: str) -> Cohort:
    """A cohort that selects by labels."""
    return Cohort.model_validate(
        {"metadata": {"name": name}, "spec": {"order": order, "selector": {"matchLabels": labels}}}
    )


def make_policy(*, limit: str = "20%", min_devices: int = 2, **tier: object) -> Policy:
    """One tier with one guardrail, and whatever else the tier is to say."""
    return Policy.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {
                "tiers": [
                    {
                        "name": "production",
                        "steps": ["5%", "25%", "50%", "100%"],
                        "soak": "24h",
                        "health": {"window": "10m", "pollInterval": "5m"},
                        "guardrails": [
                            {
                                "name": "failures",
                                "metric": "failure-share",
                                "limit": limit,
                                "minDevices": min_devices,
                            }
                        ],
                        **tier,
                    }
                ]
            },
        }
    )


def make_key() -> SigningKey:
    """A declared key; its PEM is not a real one, the planner only compares texts."""
    return SigningKey.model_validate({"metadata": {"name": "test"}, "spec": {"publicKey": PUBLIC_KEY}})


def make_fleet(*releases: Release, classes: tuple[str, ...] = ("cam-day", "cam-lowlight")) -> Fleet:
    """These releases on these classes, with the cohorts canary and fleet."""
    commit = hashlib.sha1("|".join(str(r.model_dump_json()) for r in releases).encode()).hexdigest()
    return Fleet.of(
        [
            *releases,
            *(make_class(name) for name in classes),
            make_cohort("canary", 1, ring="canary"),
            make_cohort("fleet", 2),
            make_policy(),
            make_key(),
        ],
        commit,
    )
