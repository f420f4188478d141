"""A new fleet repository: files that pass `muster check`, and their first commit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from muster.kinds.digest import Name
from muster.kinds.errors import Refused, Unusable
from muster.source.git import Repository, make_repository
from muster.source.git_program import run_git
from muster.source.identity import author
from muster.source.schema import schema_files

AUTHOR = "muster init <muster@localhost>"


def make_fleet(folder: Path, model: str) -> Repository:
    """Make a repository at `folder` (new or empty) whose first commit declares a fleet for one model.

    Everything is made beside the folder and moved in at the end, `.git` last. Raises `Refused` for a folder that is
    not empty, `Unusable` for one that cannot be written or a model that is not a name.
    """
    files = fleet_files(model)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Refused(f"{folder} is not an empty folder", "name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".muster-init-", dir=folder.resolve().parent) as beside:
            scratch = Path(beside)
            for name, text in files.items():
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            _first_commit(make_repository(scratch, "main"), model)
            for child in sorted(scratch.iterdir(), key=lambda path: path.name == ".git"):
                shutil.move(child, folder / child.name)
    except OSError as error:
        raise Unusable(f"cannot write {error.filename or folder}: {error.strerror}", "name another folder") from error
    return Repository(folder)


def _first_commit(repository: Repository, model: str) -> None:
    name, _, address = author(repository, AUTHOR).rstrip(">").partition(" <")
    who = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": address,
    }
    for arguments in (["add", "--all"], ["commit", "--quiet", "-m", f"Declare an empty fleet for {model}"]):
        answer = run_git(arguments, repository.path, environment=who)
        if answer.code != 0:
            raise Unusable(f"cannot make the first commit: {answer.reason}")


def fleet_files(model: str) -> dict[str, str]:
    """Path → text of a new fleet. Raises `Unusable` if the model is not a name."""
    try:
        TypeAdapter(Name).validate_python(model)
    except ValidationError as error:
        hint = "write lower-case letters, digits and inner hyphens, 63 at most"
        raise Unusable(f"not a name for a model: {model[:80]!r}", hint) from error
    files = {path: text.replace("MODEL", model) for path, text in _FILES.items()}
    return files | {f"schemas/{name}": text for name, text in schema_files().items()}


_FILES = {
    "README.md": """\
# A fleet

This repository declares which model every device runs. A merge promotes; a revert rolls back.

| folder | what it declares |
|---|---|
| `releases/<model>/<version>.yaml` | one release: pins, which never change, and the percentages per cohort |
| `devices/classes/` | hardware that behaves alike, with its runtime and budgets |
| `devices/cohorts/` | who goes first |
| `policies/` | tiers: what a release must show before and during its rollout |
| `policies/keys/` | public keys whose signatures devices accept |
| `schemas/` | what editors complete from; `muster schemas` writes them again |

    muster check --work-tree    # before you commit
    muster check                # what the newest commit declares

When the first release of MODEL is at 100% in every cohort, delete `mayBeEmpty` from `devices/classes/example.yaml`:
from then on, a change that would leave a device without a model is refused.
""",
    ".gitignore": "# The controller's store, keys and records.\n.muster/\n",
    "CODEOWNERS": """\
# Who must approve what. Replace the names; order matters, the last match counts.
#
# *                   @your-team
# /policies/          @your-team-leads
# /policies/keys/     @your-security-team
""",
    "devices/cohorts/canary.yaml": """\
# yaml-language-server: $schema=../../schemas/cohort.json
apiVersion: muster/v1
kind: Cohort
metadata:
  name: canary
  description: The devices that go first. A device joins by its label ring=canary.
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
  description: Everyone else. The last cohort has no selector, so no device is left out.
spec:
  order: 2
""",
    "devices/classes/example.yaml": """\
# yaml-language-server: $schema=../../schemas/device-class.json
apiVersion: muster/v1
kind: DeviceClass
metadata:
  name: example
  description: Devices that behave alike. Replace the figures with those of your own.
spec:
  hardware: Four-core board with 1 GiB
  isa: [x86-64-v2]
  os:
    name: debian
    versions: ["12.11"]
  # What the devices have installed; a release names the same version.
  runtime:
    name: onnxruntime
    version: "1.31.1"
    providers: [CPUExecutionProvider]
  # What a release may cost here.
  budgets:
    storage: 64MiB
    peakRam: 512MiB
    loadTime: 2s
    p95Latency: 50ms
  # Sustained rates, for predicting latency before any device has run the model.
  rates:
    multiplyAccumulates: 2G/s
    memory: 3G/s
    overhead: 100us
  models: [MODEL]
  # Until the first release is at 100% in every cohort.
  mayBeEmpty: true
""",
    "policies/default.yaml": """\
# yaml-language-server: $schema=../schemas/policy.json
apiVersion: muster/v1
kind: Policy
metadata:
  name: default
  description: How much is at stake, and what each tier asks for before and during a rollout.
spec:
  tiers:
    # To learn something: a wrong answer costs nothing.
    - name: research
      # The percentages of a rollout, one commit each.
      steps: ["25%", "100%"]
      # How long each step is watched.
      soak: 10m
      health:
        # How long a device runs a release well before it confirms it.
        window: 2m
        # How often devices ask for news.
        pollInterval: 1m
      # Devices that fail, of those that tried: above the limit the release is stopped and reverted.
      guardrails:
        - name: failing-devices
          metric: failure-share
          limit: "50%"
          minDevices: 2

    # Somebody relies on it.
    - name: production
      steps: ["5%", "25%", "50%", "100%"]
      soak: 1h
      health:
        window: 10m
        pollInterval: 5m
      # Decided before anything reaches a device.
      gates:
        - name: accuracy-kept
          metric: accuracy
          comparator: ">="
          threshold: "0.99"
          relativeTo: source
        - name: fits-the-device
          metric: artifact-size
          comparator: "<="
          threshold: "1"
          relativeTo: budget
        - name: fast-enough
          metric: p95-latency
          comparator: "<="
          threshold: "1"
          relativeTo: budget
      guardrails:
        - name: failing-devices
          metric: failure-share
          limit: "20%"
          minDevices: 2

    # An authority may ask.
    - name: regulated
      steps: ["5%", "25%", "50%", "100%"]
      soak: 1d
      health:
        window: 1h
        pollInterval: 5m
      gates:
        - name: accuracy-kept
          metric: accuracy
          comparator: ">="
          threshold: "0.995"
          relativeTo: source
        - name: not-worse
          metric: accuracy
          comparator: ">="
          threshold: "1"
          relativeTo: superseded
        - name: fits-the-device
          metric: artifact-size
          comparator: "<="
          threshold: "1"
          relativeTo: budget
        - name: fast-enough
          metric: p95-latency
          comparator: "<="
          threshold: "1"
          relativeTo: budget
      guardrails:
        - name: failing-devices
          metric: failure-share
          limit: "5%"
          minDevices: 2
""",
}
