"""A lock says which packages, which bytes and which Python; what is anything else in it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.build.hermetic.lock import read_lock
from muster.kinds.errors import Unusable

ROOT = Path(__file__).parents[3]
GOOD = (
    "# Python 3.12\n# made by hand\nnumpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:"
    + "a" * 64
    + "\n"
)


@pytest.mark.parametrize("minor", ["30", "31"])
def test_the_locks_of_this_repository(minor: str) -> None:
    """Each names its onnxruntime, every other tool once, and Python 3.11."""
    lock = read_lock((ROOT / f"builders/onnxruntime-1.{minor}.lock").read_bytes(), "lock")
    assert lock.python == "3.11"
    assert all(len(versions) == 1 for versions in lock.packages.values())
    assert {"numpy", "onnx", "onnxruntime", "protobuf", "ml-dtypes"} <= set(lock.packages)
    assert min(lock.packages["onnxruntime"]).startswith(f"1.{minor}.")


def test_what_a_lock_says() -> None:
    """Python, versions by name, hashes."""
    lock = read_lock(GOOD.encode(), "lock")
    assert (lock.python, lock.packages) == ("3.12", {"numpy": frozenset({"2.4.6"})})
    assert lock.hashes == {"a" * 64}


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://example.org/simple",
        "--find-links /tmp",
        "-r other.txt",
        "-e .",
        "numpy @ https://example.org/numpy.whl \\",
        "./numpy.whl \\",
        "numpy>=2 \\",
        "numpy==2.* \\",
        "numpy==2.4.6",
        "    --hash=md5:" + "a" * 32,
        "numpy==2.4.6 \\ # --index-url https://example.org",
        "numpy==2.4.6 --global-option=x \\",
        "nümpy==2.4.6 \\",
    ],
)
def test_what_is_no_pin_is_refused_with_its_line(line: str) -> None:
    """A lock comes with a pull request: nothing in it may lead elsewhere."""
    with pytest.raises(Unusable, match=r"^lock(:5:1:| is not ASCII)"):
        read_lock(f"{GOOD}{line}\n".encode(), "lock")


@pytest.mark.parametrize("data", [b"", b"# Python 3.11\n", b"numpy==2.4.6 \\\n", b"#" * (2**20 + 1)])
def test_a_lock_without_pins_is_refused(data: bytes) -> None:
    """No package, no hash, or no end."""
    with pytest.raises(Unusable):
        read_lock(data, "lock")
