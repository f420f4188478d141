"""A small valid fleet as files, to be bent by tests."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from muster.kinds.release import Inference

ORIGIN = "sha256:" + "0" * 64

COHORTS = {
    "devices/cohorts/canary.yaml": """\
        # yaml-language-server: $schema=../../schemas/cohort.json
        apiVersion: muster/v1
        kind: Cohort
        metadata:
          name: canary
        spec:
          order: 1
          selector:
            matchLabels:
              ring: canary
        """,
    "devices/cohorts/fleet.yaml": """\
        # yaml-language-server: $schema=../../schemas/cohort.json
        apiVersion: muster/v1
        kind: Cohort
        metadata:
          name: fleet
        spec:
          order: 2
        """,
}

DEVICE_CLASS = """\
    # yaml-language-server: $schema=../../schemas/device-class.json
    apiVersion: muster/v1
    kind: DeviceClass
    metadata:
      name: cam
    spec:
      hardware: Four cores
      isa: [x86-64-v2]
      os:
        name: debian
        versions: ["12.11"]
      runtime:
        name: onnxruntime
        version: "1.31.1"
        providers: [CPUExecutionProvider]
      budgets:
        storage: 1MiB
        peakRam: 512MiB
        loadTime: 2s
        p95Latency: 20ms
      rates:
        multiplyAccumulates: 2G/s
        memory: 3G/s
        overhead: 60us
      models: [reader]
    """

POLICY = """\
    # yaml-language-server: $schema=../schemas/policy.json
    apiVersion: muster/v1
    kind: Policy
    metadata:
      name: default
    spec:
      tiers:
        - name: research
          steps: ["100%"]
          soak: 1m
          health:
            window: 1m
            pollInterval: 1m
    """

INFERENCE = {
    "input": {"name": "image", "shape": [1, 8, 8], "normalization": {"kind": "scale", "divisor": "16"}},
    "output": {"name": "scores", "labels": ["0", "1"], "postprocessing": "argmax"},
    "thresholds": {"confidence": "50%", "minConfident": "80%"},
}


def pin(number: int) -> str:
    """A digest to tell apart from others."""
    return f"sha256:{number:064x}"


def release_yaml(version: str = "1.0.0", *, model: str = "reader", cohorts: dict[str, str] | None = None) -> str:
    """A release file that loads, at 100% everywhere unless `cohorts` says otherwise."""
    rollout = {"canary": "100%", "fleet": "100%"} if cohorts is None else cohorts
    lines = "".join(f'\n      {name}: "{percent}"' for name, percent in rollout.items()) or " {}"
    config_version = Inference.model_validate_json(json.dumps(INFERENCE)).config_version
    return f"""\
# yaml-language-server: $schema=../../schemas/release.json
apiVersion: muster/v1
kind: Release
metadata:
  name: {model}
  version: "{version}"
spec:
  tier: research
  source:
    digest: {pin(1)}
    size: 1000
    lineage:
      trainingCommit: {"a" * 40}
      runId: run-1
      dataset: {pin(2)}
      environment: {pin(3)}
      seeds: [1, 2]
      hyperparameters: {{filters: "8"}}
      owner: Ada
  recipe:
    import: {{maxSize: 64MiB}}
    preprocess: {{}}
    calibrate: {{method: minmax, batch: 32}}
    snap: {{mantissaBits: 12}}
    quantize:
      operators: [Conv, Gemm]
      perChannel: true
      reduceRange: true
      activations: uint8
  snapshots:
    calibration: {pin(4)}
    evaluation: {pin(5)}
    golden:
      inputs: {pin(6)}
      expected: {pin(7)}
      tolerance: "0.05"
  calibrationTable: {pin(8)}
  builder:
    lock: builders/onnxruntime-1.31.lock
    digest: {pin(9)}
  stages:
    imported: {pin(10)}
    preprocessed: {pin(11)}
    calibrated: {pin(12)}
    quantized: {pin(13)}
  artifact:
    digest: {pin(14)}
    size: 2000
  onnx: {{opset: 21, ir: 10}}
  runtimes:
    - deviceClass: cam
      name: onnxruntime
      version: "1.31.1"
      provider: CPUExecutionProvider
  inference:
    input:
      name: image
      shape: [1, 8, 8]
      normalization: {{kind: scale, divisor: "16"}}
    output:
      name: scores
      labels: ["0", "1"]
    thresholds: {{confidence: "50%", minConfident: "80%"}}
  configVersion: {config_version}
  # Percentages per cohort.
  rollout:
    cohorts:{lines}
"""


def fleet_files(**replaced: Any) -> dict[str, str | bytes]:
    """Path → text of a fleet that passes every check: one class, two cohorts, one policy, one release."""
    files: dict[str, str | bytes] = {path: textwrap.dedent(text) for path, text in COHORTS.items()}
    files["devices/classes/cam.yaml"] = textwrap.dedent(DEVICE_CLASS)
    files["policies/default.yaml"] = textwrap.dedent(POLICY)
    files["releases/reader/1.0.0.yaml"] = release_yaml()
    return files | replaced
