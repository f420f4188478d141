"""`muster check` beside `check-jsonschema`, on the same files, in one run, interleaved.

    python benchmarks/check_speed.py [--releases 10000] [--rounds 5]

Four questions: a pull request of three files in a repository of 10,000 releases (beside check-jsonschema on just these
three); a full check of all of them (beside a full pass of check-jsonschema); the slope: the same three-file pull
request with 10, 100, 1,000 and 10,000 releases; and the floor: what Python, and the libraries that every verb on a
fleet stands on, cost before anything is asked (`muster --help` beside `python -c pass`). CPU time of the process and
its children in ms, medians. Wall time moves with what else a machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

from scratch_fleet import fleet_files, release_yaml  # noqa: E402
from scratch_repository import commit_all, git, repository_of, write  # noqa: E402

BIN = Path(sys.executable).parent
MODELS = 100
PYTHON = [sys.executable, "-c"]
LIBRARIES = "import click, yaml; from pydantic import BaseModel, StringConstraints; type('Kind', (BaseModel,), {})"


def make(folder: Path, releases: int) -> list[str]:
    """A fleet of so many releases, and a branch `topic` that adds three. The paths of these three."""
    models = [f"model-{number}" for number in range(min(MODELS, max(1, releases // 10)))]
    files = dict(fleet_files())
    del files["releases/reader/1.0.0.yaml"]
    files["devices/classes/cam.yaml"] = str(files["devices/classes/cam.yaml"]).replace(
        "models: [reader]", f"models: [{', '.join(models[:64])}]\n  mayBeEmpty: true"
    )
    for number in range(releases):
        model = models[number % len(models)]
        newest = number >= releases - len(models)
        share = "100%" if newest and model in models[:64] else "0%"
        cohorts = {"canary": share, "fleet": share}
        version = f"1.{number // len(models)}.0"
        files[f"releases/{model}/{version}.yaml"] = release_yaml(version, model=model, cohorts=cohorts)
    repository_of(folder, files)
    git(folder, "checkout", "-q", "-b", "topic")
    idle = {"canary": "0%", "fleet": "0%"}
    added = {f"releases/{model}/9.0.0.yaml": release_yaml("9.0.0", model=model, cohorts=idle) for model in models[:3]}
    if len(added) < 3:
        added = {
            f"releases/{models[0]}/9.{number}.0.yaml": release_yaml(f"9.{number}.0", model=models[0], cohorts=idle)
            for number in range(3)
        }
    write(folder, added)
    commit_all(folder, "three releases")
    return sorted(added)


def cpu(command: list[str], folder: Path) -> float:
    """CPU milliseconds of one command and its children. Exit codes 0 and 1 are answers."""
    # Byte code is kept, as it is for whoever installed either program.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment)
    assert done.returncode in (0, 1), done.stderr.decode()[-2_000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1_000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def interleaved(rounds: int, runs: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each, one after the other in every round."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--releases", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    change = [str(BIN / "muster"), "check", "--base", "main", "--head", "topic"]
    schema = [str(BIN / "check-jsonschema"), "--schemafile", str(ROOT / "schemas/release.json")]
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        sizes = sorted({10, 100, 1_000, chosen.releases})
        added = {size: make(top / str(size), size) for size in sizes}
        folder = top / str(chosen.releases)
        everything = sorted(str(path.relative_to(folder)) for path in (folder / "releases").rglob("*.yaml"))
        slope = interleaved(
            chosen.rounds,
            {
                **{
                    f"three files of {size:,}, judged": lambda size=size: cpu(change, top / str(size)) for size in sizes
                },
                "check-jsonschema on these three": lambda: cpu([*schema, *added[chosen.releases]], folder),
                "python -c pass": lambda: cpu([*PYTHON, "pass"], folder),
                "click, PyYAML and pydantic imported": lambda: cpu([*PYTHON, LIBRARIES], folder),
                "muster --help": lambda: cpu([str(BIN / "muster"), "--help"], folder),
            },
        )
        whole = interleaved(
            max(1, chosen.rounds // 5),
            {
                f"all {len(everything):,} files": lambda: cpu([str(BIN / "muster"), "check"], folder),
                "check-jsonschema on all of them": lambda: cpu([*schema, *everything], folder),
            },
        )
    for name, median in {**slope, **whole}.items():
        print(f"{name:40} {median:10.0f} ms CPU")
    judged, beside = slope[f"three files of {chosen.releases:,}, judged"], slope["check-jsonschema on these three"]
    print(f"three files: {judged / beside:.2f} of check-jsonschema's time")
    floor = slope["click, PyYAML and pydantic imported"]
    print(f"floor:       {floor / beside:.2f} of check-jsonschema's time goes to libraries")
    smallest = slope[f"three files of {min(sizes):,}, judged"]
    print(f"slope:       {judged / smallest:.2f} times as long with {max(sizes):,} releases as with {min(sizes):,}")
    print(f"--help:      {slope['muster --help'] / slope['python -c pass']:.1f} times python -c pass")
    full, pass_over = whole.values()
    print(f"all files:   {full / pass_over:.2f} of check-jsonschema's time")


if __name__ == "__main__":
    main()
