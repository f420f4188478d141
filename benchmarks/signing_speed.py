"""Hashing, signing and verifying a model's files: Muster beside `model_signing`, both in the format of that program.

    python benchmarks/signing_speed.py [--bundles "1 GiB" ...] [--rounds 7]

Interleaved: in every round each of both does its work once, on files that are in the page cache; the ratio is that of
one round, given as its median with its smallest and largest, which is the noise. First as programs, with their start;
then inside of one process, where `hashlib.file_digest` over the same files is the floor. CPU time of the process and
its children; wall time stands behind it, and moves with what else a machine does. Each verifies the other's signature
before anything is measured, so that both do the same work.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from muster.attest.artifact_files import files_of_folder
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files, verify_files

MIB = 2**20
BUNDLES = {
    "10 MiB": {"model.onnx": 10 * MIB, "config.json": 2_000},
    "1 GiB": {"model.onnx": 1_024 * MIB, "config.json": 2_000},
    "2,000 files of 4 KiB": {f"part-{number:04}.bin": 4_096 for number in range(2_000)},
}
PROGRAMS = {"muster": [sys.executable, "-m", "muster"], "model_signing": [sys.executable, "-m", "model_signing"]}


@contextmanager
def bundle(name: str) -> Iterator[tuple[Path, Path]]:
    """A folder with the files of a bundle, and one for keys and signatures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, beside = Path(scratch) / "bundle", Path(scratch) / "beside"
        folder.mkdir()
        beside.mkdir()
        for file, size in BUNDLES[name].items():
            block = os.urandom(min(size, MIB))
            with (folder / file).open("wb") as target:
                for _ in range(size // len(block)):
                    target.write(block)
        private = new_private_key()
        (beside / "key.pem").write_bytes(private)
        (beside / "key.pem").chmod(0o600)
        (beside / "public.pem").write_text(public_half(private))
        yield folder, beside


@dataclass(frozen=True)
class Spent:
    """Seconds."""

    cpu: float
    wall: float


def interleaved(rounds: int, runs: dict[str, Callable[[], object]]) -> dict[str, list[Spent]]:
    """What each took, one after the other in every round."""
    found: dict[str, list[Spent]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            cpu, wall = processor(), time.perf_counter()
            run()
            found[name].append(Spent(processor() - cpu, time.perf_counter() - wall))
    return found


def processor() -> float:
    """CPU seconds of this process and of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def commands(folder: Path, beside: Path) -> dict[str, dict[str, list[str]]]:
    """Sign and verify, of each program. Every program verifies what the other signed."""
    ours, theirs = str(beside / "ours.sig"), str(beside / "theirs.sig")
    key, public = str(beside / "key.pem"), str(beside / "public.pem")
    peer = ["--no-ignore-git-paths"]
    return {
        "sign": {
            "muster": ["sign", str(folder), "--key", key, "--signature", ours],
            "model_signing": ["sign", "key", str(folder), *peer, "--private_key", key, "--signature", theirs],
        },
        "verify": {
            "muster": ["verify", str(folder), "--key", public, "--signature", theirs],
            "model_signing": ["verify", "key", str(folder), *peer, "--public_key", public, "--signature", ours],
        },
    }


def call(program: str, arguments: list[str]) -> None:
    """Run it; it must succeed."""
    # Byte code is kept, as it is for whoever installed either program.
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([*PROGRAMS[program], *arguments], capture_output=True, check=False, env=known)
    assert done.returncode == 0, done.stderr.decode()[-2_000:]


def in_process(folder: Path, beside: Path) -> dict[str, dict[str, Callable[[], object]]]:
    """The same work without the start of a program; hashing by itself has a floor."""
    import model_signing

    private, public = (beside / "key.pem").read_bytes(), (beside / "public.pem").read_text()
    hashing = model_signing.hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)
    signing = model_signing.signing.Config().use_elliptic_key_signer(private_key=beside / "key.pem")
    signing = signing.set_hashing_config(hashing)
    verifying = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=beside / "public.pem")
    verifying = verifying.set_hashing_config(hashing)
    ours, theirs = (beside / "ours.sig"), (beside / "theirs.sig")
    return {
        "hash": {
            "muster": lambda: files_of_folder(folder),
            "model_signing": lambda: hashing.hash(folder),
            "hashlib.file_digest": lambda: floor(folder),
        },
        "sign": {
            "muster": lambda: ours.write_bytes(sign_files(files_of_folder(folder), private)),
            "model_signing": lambda: signing.sign(folder, theirs),
        },
        "verify": {
            "muster": lambda: verify_files(files_of_folder(folder), theirs.read_bytes(), [public]),
            "model_signing": lambda: verifying.verify(folder, ours),
        },
    }


def floor(folder: Path) -> None:
    """Every file by itself, one after the other."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def told(what: str, times: dict[str, list[Spent]]) -> str:
    """Medians, and the ratio of ours to each other's, round by round."""
    lines = [what]
    for name, spent in times.items():
        cpu, wall = statistics.median(one.cpu for one in spent), statistics.median(one.wall for one in spent)
        line = f"  {name:20} {1_000 * cpu:8.1f} ms CPU {1_000 * wall:9.1f} ms"
        if name != "muster":
            pairs = zip(times["muster"], spent, strict=True)
            ratios = [ours.cpu / other.cpu for ours, other in pairs]
            middle = statistics.median(ratios)
            line += f"   ours takes {middle:.2f} of its CPU ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundles", nargs="*", choices=list(BUNDLES), default=list(BUNDLES))
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    for name in chosen.bundles:
        with bundle(name) as (folder, beside):
            work = commands(folder, beside)
            for verb in work.values():
                for program, arguments in verb.items():
                    call(program, arguments)
            for verb, by_program in work.items():
                runs = {program: (lambda p=program, a=words: call(p, a)) for program, words in by_program.items()}
                print(told(f"{name}: {verb}, program", interleaved(chosen.rounds, runs)), flush=True)
            for verb, functions in in_process(folder, beside).items():
                print(told(f"{name}: {verb}, in one process", interleaved(chosen.rounds, functions)), flush=True)


if __name__ == "__main__":
    main()
