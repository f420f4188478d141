"""Which level a machine has, what policy accepts, and what an outcome says of a step that does nothing wrong."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from escapes import SMALL

import muster
from muster.build.sandbox.confinement import Confinement, Level, level_named
from muster.build.sandbox.run import CannotHold, Running, _probe, run, strongest
from muster.kinds.errors import Refused, TryAgain

CONTROLLER = str(Path(muster.__path__[0]).parent)
ASK = """
import sys
from muster.build.sandbox.run import strongest
from muster.build.sandbox.confinement import level_named
from muster.kinds.errors import Refused
try: print(strongest(level_named(sys.argv[1])).word)
except Refused as error: print('refused:', error.message, error.hint)
"""


def available(level: Level) -> Level:
    if _probe()[0] < level:
        pytest.skip(f"this machine has no sandbox of the level {level.word}")
    return level


def ask_without_user_namespaces(lowest: str) -> str:
    """What a process says in a user namespace that may have no other below it."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "-Ur", "sh", "-c", script, "sh", sys.executable, "-c", ASK, lowest]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": CONTROLLER}
        )
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if done.returncode:
        pytest.skip(f"no user namespace to forbid others in: {done.stderr}")
    return done.stdout


def test_a_weaker_level_where_user_namespaces_are_forbidden() -> None:
    """It falls back to a named level if policy accepts it."""
    available(Level.LANDLOCK)
    assert ask_without_user_namespaces("landlock") == "landlock\n"


def test_policy_refuses_a_weaker_level() -> None:
    """What is there, what was asked for, why, and what to do."""
    available(Level.LANDLOCK)
    said = ask_without_user_namespaces("namespaces")

    assert said.startswith("refused: the strongest sandbox here is landlock, and namespaces is the weakest")
    assert "No space left on device (unshare)" in said
    assert "allow user namespaces" in said


def test_a_level_is_never_weakened_silently(tmp_path: Path) -> None:
    """A step that cannot be started is refused; it does not run otherwise."""
    with pytest.raises(CannotHold, match="No such file"):
        run(["/no/such/program"], folder=tmp_path, limits=SMALL, level=available(Level.LANDLOCK))


@pytest.mark.parametrize("word", ["none", "", "Namespaces "])
def test_only_levels_have_names(word: str) -> None:
    """A word that is none is an error, not the weakest."""
    with pytest.raises(ValueError, match="no level"):
        level_named(word)


@pytest.mark.parametrize("level", Level, ids=lambda level: level.word)
def test_a_step_that_keeps_to_itself(level: Level, tmp_path: Path) -> None:
    """It reads what it was given, writes its folder, sees a scrubbed environment, and nothing is held against it."""
    given, folder = tmp_path / "given", tmp_path / "own"
    given.mkdir()
    folder.mkdir()
    (given / "input").write_text("input")
    script = f"""
import os, tempfile
open('output', 'w').write(open({str(given / "input")!r}).read())
with tempfile.TemporaryFile() as file: file.write(b'x')
if os.fork() == 0: os._exit(3)
os.wait()
print(sorted(os.environ), os.environ['HOME'], os.getcwd())
raise SystemExit(7)
"""
    outcome = run(
        [sys.executable, "-I", "-S", "-c", script],
        folder=folder,
        readable=[given],
        limits=SMALL,
        level=available(level),
        environment={"TZ": "Asia/Tokyo"},
    )

    assert (outcome.code, outcome.signal, outcome.ended_by, outcome.attempts) == (7, None, None, ())
    assert not outcome.succeeded
    assert (folder / "output").read_text() == "input"
    assert (folder / "output").stat().st_uid == os.geteuid()
    assert outcome.stderr == b""
    told = outcome.stdout.decode()
    assert told.endswith(f"{folder} {folder}\n")
    assert not {"SSH_AUTH_SOCK", "USER", "PWD", "GITHUB_TOKEN"} & set(told.replace("'", " ").replace(",", " ").split())


@pytest.mark.parametrize("level", Level, ids=lambda level: level.word)
def test_reading_is_granted_where_only_limits_hold(level: Level, tmp_path: Path) -> None:
    """The same script reads a file of others at `limits` and at no other level: the list of escapes can fail."""
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    folder = tmp_path / "own"
    folder.mkdir()
    command = [sys.executable, "-I", "-S", "-c", f"print(open({str(outside)!r}).read())"]
    outcome = run(command, folder=folder, limits=SMALL, level=available(level))

    assert (level is Level.LIMITS) == (outcome.stdout == b"theirs\n")
    assert outcome.tried("outside-file")


def test_a_step_can_be_stopped(tmp_path: Path) -> None:
    """`stop` ends it and all that it started; the outcome says so."""
    script = "import os, signal\nos.fork()\nsignal.pause()"
    command = [sys.executable, "-I", "-S", "-c", script]
    running = Running(command, Confinement(tmp_path, (), SMALL, available(Level.LIMITS)))
    running.stop()

    outcome = running.wait()

    assert (outcome.ended_by, outcome.code) == ("stopped", None)


@pytest.mark.parametrize("level", Level, ids=lambda level: level.word)
def test_what_a_step_started_ends_with_its_supervisor(level: Level, tmp_path: Path) -> None:
    """Killed, the supervisor can end nothing: what has left its session and listens to no signal ends all the same."""
    script = """
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        print('ready', flush=True)
        while True: signal.pause()
    os._exit(0)
signal.pause()
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    running = Running(command, Confinement(tmp_path, (), SMALL, available(level)))
    supervisor = running._supervisor
    assert supervisor.stdout
    assert supervisor.stdout.readline() == b"ready\n"
    supervisor.kill()

    # All of them hold the other end; a minute is what the steps of these tests may take.
    with selectors.DefaultSelector() as ended:
        ended.register(supervisor.stdout, selectors.EVENT_READ)
        assert ended.select(timeout=SMALL.wall_seconds)
    assert supervisor.stdout.read() == b""
    with pytest.raises(TryAgain, match="without a report"):
        running.wait()


@pytest.mark.parametrize("level", Level, ids=lambda level: level.word)
def test_a_step_takes_its_own_threads_for_its_own(level: Level, tmp_path: Path) -> None:
    """A runtime says on which processor each of its threads runs: granted, and nothing is held against it."""
    script = """
import os, threading
def choose(): print(os.sched_setaffinity(threading.get_native_id(), os.sched_getaffinity(0)))
thread = threading.Thread(target=choose)
thread.start(); thread.join(); choose(); os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(1)
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    outcome = run(command, folder=tmp_path, limits=SMALL, level=available(level))

    assert (outcome.code, outcome.stdout, outcome.attempts) == (0, b"None\nNone\n", ()), outcome.stderr


def test_a_folder_that_a_step_left_can_be_removed(tmp_path: Path) -> None:
    """However deep and closed it made it: Python removes no deeper than it calls itself."""
    script = """
import os
for number in range(1500):
    os.mkdir('d')
    os.chdir('d')
"""
    folder = tmp_path / "own"
    folder.mkdir()
    limits = replace(SMALL, folder_entries=5_000)
    outcome = run([sys.executable, "-I", "-S", "-c", script], folder=folder, limits=limits, level=Level.LIMITS)

    assert outcome.tried("folder-size")
    shutil.rmtree(folder)
    assert not folder.exists()


def test_what_holds_a_step_holds_its_steps(tmp_path: Path) -> None:
    """A step asks for no second sandbox, and its own step is refused the network as it is."""
    script = """
import sys
from pathlib import Path
from muster.build.sandbox.run import run, strongest
from muster.build.sandbox.confinement import Level, Limits
level = strongest(Level.NAMESPACES)
inner = "import socket\\ntry: socket.socket()\\nexcept OSError as error: print(error)"
command = [sys.executable, '-I', '-S', '-c', inner]
print(level.word, run(command, folder=Path.cwd(), level=level, limits=Limits()).stdout)
"""
    command = [sys.executable, "-c", script]
    outcome = run(command, folder=tmp_path, limits=SMALL, level=available(Level.LANDLOCK))

    assert outcome.stdout == b"limits b'[Errno 13] Permission denied\\n'\n", outcome.stderr
    assert outcome.tried("network")


def test_to_say_that_one_is_confined_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable alone weakens nothing: the kernel has to say it too."""
    monkeypatch.setenv("MUSTER_CONFINED", "1")
    found = _probe()[0]

    assert found == strongest(found)
    if found < Level.NAMESPACES:
        with pytest.raises(Refused):
            strongest(Level.NAMESPACES)
