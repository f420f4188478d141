"""An environment is the lock's wheels and nothing else, offline from a wheelhouse, and looked at before every use."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from muster.build.hermetic.environment import MARKER, Environment, environment_for
from muster.build.hermetic.installed import site_packages
from muster.build.hermetic.lock import BuilderLock, read_lock
from muster.build.hermetic.vendor import vendor
from muster.kinds.errors import Refused, Unusable

SMALL = ("flatbuffers", "packaging", "typing-extensions")


@pytest.fixture(scope="session")
def small(locks: dict[str, BuilderLock]) -> BuilderLock:
    """The three pure packages of a lock: made in a moment."""
    kept, keep = ["# Python 3.11"], False
    for line in locks["onnxruntime-1.31"].data.decode().splitlines():
        if "==" in line:
            keep = line.partition("==")[0] in SMALL
        if keep and not line.lstrip().startswith("#"):
            kept.append(line)
    return read_lock("\n".join([*kept, ""]).encode(), "small")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory, small: BuilderLock, wheelhouse: Path) -> Environment:
    """Its environment, made once."""
    return environment_for(small, tmp_path_factory.mktemp("pristine") / "builders", wheelhouse)


@pytest.fixture
def made(tmp_path: Path, pristine: Environment) -> Environment:
    """A copy to do harm to: nothing in an environment says where it lies."""
    shutil.copytree(pristine.folder.parent, tmp_path / "builders", symlinks=True)
    return replace(pristine, folder=tmp_path / "builders" / pristine.folder.name)


def test_it_holds_what_the_lock_names_and_is_not_ours(made: Environment, small: BuilderLock) -> None:
    """Its interpreter sees these packages and none of the controller's."""
    ask = "import importlib.metadata as m, sys; print(sys.prefix, *sorted(d.name.lower() for d in m.distributions()))"
    done = subprocess.run([made.python, "-I", "-c", ask], check=True, capture_output=True, text=True)
    prefix, *names = done.stdout.split()
    assert Path(prefix).resolve() == made.folder.resolve() != Path(sys.prefix).resolve()
    assert [name.replace("_", "-") for name in names] == sorted(small.packages)
    assert made.made
    assert set(made.records) == set(small.packages)


def test_it_is_made_once(made: Environment, small: BuilderLock, tmp_path: Path) -> None:
    """The second time nothing is asked for: there is no wheelhouse that could answer."""
    again = environment_for(small, tmp_path / "builders", tmp_path / "no wheelhouse")
    assert (again.made, again.folder, again.records) == (False, made.folder, made.records)


def _change(folder: Path) -> None:
    (site_packages(folder, "3.11") / "typing_extensions.py").write_text("raise SystemExit\n")


def _add(folder: Path) -> None:
    (site_packages(folder, "3.11") / "sitecustomize.py").write_text("raise SystemExit\n")


def _take(folder: Path) -> None:
    (site_packages(folder, "3.11") / "typing_extensions.py").unlink()


def _empty_marker(folder: Path) -> None:
    (folder / MARKER).write_text("{}")


def _no_marker(folder: Path) -> None:
    (folder / MARKER).unlink()


def _other_interpreter(folder: Path) -> None:
    (folder / "bin/python").unlink()
    (folder / "bin/python").symlink_to("/bin/true")


def _compiled(folder: Path) -> None:
    next(folder.rglob("typing_extensions*.pyc")).write_bytes(b"")


@pytest.mark.parametrize("harm", [_change, _add, _take, _empty_marker, _no_marker, _other_interpreter, _compiled])
def test_what_is_not_as_it_was_made_is_made_again(
    harm: Callable[[Path], None], made: Environment, small: BuilderLock, wheelhouse: Path
) -> None:
    """A file that changed, came or went, the interpreter, bytecode, a marker that says nothing."""
    harm(made.folder)
    again = environment_for(small, made.folder.parent, wheelhouse)
    assert (again.made, again.records) == (True, made.records)
    assert "raise SystemExit" not in (site_packages(again.folder, "3.11") / "typing_extensions.py").read_text()
    assert not (site_packages(again.folder, "3.11") / "sitecustomize.py").exists()
    assert not environment_for(small, made.folder.parent, wheelhouse).made


def test_what_a_crash_left_is_cleared(tmp_path: Path, made: Environment, small: BuilderLock, wheelhouse: Path) -> None:
    """Half an environment beside the place is nobody's, and never counts as one."""
    half = made.folder.with_name(f"{made.folder.name}.making-x")
    made.folder.rename(half)
    again = environment_for(small, tmp_path / "builders", wheelhouse)
    assert again.made
    assert not half.exists()


def _prepare(lock: Path, state: Path, wheelhouse: Path, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-m", "muster", "builder", "prepare", str(lock), "-o", "json"]
    command += ["--state", str(state), "--wheelhouse", str(wheelhouse)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_at_once_make_one(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """On one state folder one process makes it, the other waits and finds it whole."""
    lock = tmp_path / "small.lock"
    lock.write_bytes(small.data)
    both = [_prepare(lock, tmp_path / "state", wheelhouse) for _ in range(2)]
    told = [json.loads(one.communicate()[0]) for one in both]
    assert sorted(one["made"] for one in told) == [False, True]
    assert told[0]["records"] == told[1]["records"]


def test_one_that_is_killed_leaves_nothing_that_counts(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """SIGKILL while uv works: the next one makes it, beside whatever that uv still writes."""
    lock, state = tmp_path / "small.lock", tmp_path / "state"
    lock.write_bytes(small.data)
    killed = _prepare(lock, state, wheelhouse)
    while killed.poll() is None and not list(state.glob("builders/*.making-*")):
        os.sched_yield()
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not list(state.glob(f"builders/*/{MARKER}"))
    made = environment_for(small, state / "builders", wheelhouse)
    assert made.made
    assert not environment_for(small, state / "builders", wheelhouse).made


def test_it_is_made_where_there_is_no_network(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """A wheelhouse is all that is needed: the namespace has no interface that is up."""
    cut = ("unshare", "--user", "--map-root-user", "--net")
    if shutil.which("unshare") is None or subprocess.run([*cut, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs unshare, and user namespaces")
    lock = tmp_path / "small.lock"
    lock.write_bytes(small.data)
    offline = _prepare(lock, tmp_path / "state", wheelhouse, cut)
    said, wrong = offline.communicate()
    assert offline.returncode == 0, wrong
    assert json.loads(said)["made"]


def test_a_python_that_this_machine_has_not_is_named(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """Nothing else is taken in its place, and nothing is downloaded."""
    other = read_lock(small.data.replace(b"# Python 3.11", b"# Python 3.99"), "other")
    with pytest.raises(Unusable, match="uv finds no Python for this lock") as caught:
        environment_for(other, tmp_path / "builders", wheelhouse)
    assert "uv python install 3.99" in str(caught.value.hint)
    assert not [path for path in (tmp_path / "builders").iterdir() if path.is_dir()]


def test_a_source_package_is_refused(tmp_path: Path) -> None:
    """Though its hash is locked: to install it would run what it says."""
    source = tmp_path / "wheels/packaging-9.9.tar.gz"
    source.parent.mkdir()
    source.write_bytes(b"a source package")
    data = f"# Python 3.11\npackaging==9.9 \\\n    --hash=sha256:{hashlib.sha256(b'a source package').hexdigest()}\n"
    with pytest.raises(Unusable, match="packaging"):
        environment_for(read_lock(data.encode(), "source"), tmp_path / "builders", source.parent)


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """Nothing is installed, and nothing is left that could be taken for an environment."""
    folder = tmp_path / "wheels"
    shutil.copytree(wheelhouse, folder)
    wheel = next(folder.glob("typing_extensions-*.whl"))
    wheel.write_bytes(next(folder.glob("packaging-*.whl")).read_bytes())
    with pytest.raises(Unusable, match=r"typing[-_]extensions"):
        environment_for(small, tmp_path / "builders", folder)
    assert not [path for path in (tmp_path / "builders").iterdir() if path.is_dir()]


def test_a_missing_wheel_or_wheelhouse_is_named(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """With the verb that fills it."""
    with pytest.raises(Unusable, match="no folder of wheels") as caught:
        environment_for(small, tmp_path / "builders", tmp_path / "nothing")
    assert "muster builder vendor" in str(caught.value.hint)
    folder = tmp_path / "wheels"
    shutil.copytree(wheelhouse, folder)
    next(folder.glob("packaging-*.whl")).unlink()
    with pytest.raises(Unusable, match="packaging"):
        environment_for(small, tmp_path / "builders", folder)


def test_vendoring_again_fetches_what_is_damaged(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """What is whole is kept; what is not is replaced by the locked bytes."""
    folder = tmp_path / "wheels"
    shutil.copytree(wheelhouse, folder)
    damaged = next(folder.glob("packaging-*.whl"))
    damaged.write_bytes(b"")
    wheels = vendor(small, folder)
    assert [damaged.name] == [wheel.name for wheel in wheels if wheel.fetched]
    assert len(wheels) == len(SMALL)
    assert not any(wheel.fetched for wheel in vendor(small, folder))


def test_a_registry_that_offers_other_bytes_gets_nowhere(tmp_path: Path, small: BuilderLock, wheelhouse: Path) -> None:
    """Its wheels are not those of the lock: none is fetched. `wheelhouse` is asked for so that there is a registry."""
    assert wheelhouse.is_dir()
    zero = "--hash=sha256:" + "0" * 64
    lied = read_lock(re.sub(r"--hash=sha256:\w{64}", zero, small.data.decode()).encode(), "lied")
    with pytest.raises((Refused, Unusable)):
        vendor(lied, tmp_path / "wheels")
    assert not list(tmp_path.rglob("*.whl"))
