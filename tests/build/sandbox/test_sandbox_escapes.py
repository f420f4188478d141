"""The list of what a hostile step tries, at each level, as root and as an ordinary user: none succeeds, each is named.

A script prints `ESCAPED` and what it got when it succeeds. What a level does not promise is not in its list.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confined import SMALL, confined, why_not_nobody

from muster.build.sandbox.confinement import Level, Limits, Outcome
from muster.build.sandbox.run import CannotHold

NOT_NOBODY = why_not_nobody()
WHO = (
    "tester",
    pytest.param("nobody", marks=pytest.mark.skipif(NOT_NOBODY is not None, reason=str(NOT_NOBODY))),
)
ALL = (Level.NAMESPACES, Level.LANDLOCK, Level.LIMITS)
STRONG = (Level.NAMESPACES, Level.LANDLOCK)


@dataclass(frozen=True)
class Escape:
    """A script, what the outcome has to name (nothing, if there is nothing to see), and where it is contained."""

    script: str
    named: str | None
    levels: tuple[Level, ...] = ALL
    limits: Limits = SMALL


TRY = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what):
    try:
        got = what()
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        print("refused", type(error).__name__, error)
    else:
        print("ESCAPED", got)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""

ESCAPES = {
    # Reading
    "read a file by its path": Escape("attempt(lambda: open('{secret}').read())", "outside-file", STRONG),
    "external data by traversal": Escape(
        "os.makedirs('model'); os.chdir('model'); attempt(lambda: open('../' * 40 + '{secret}'[1:]).read())",
        "outside-file",
        STRONG,
    ),
    "external data by a symbolic link": Escape(
        "os.symlink('{secret}', 'weights.bin'); attempt(lambda: open('weights.bin').read())", "outside-file", STRONG
    ),
    "external data by a link to a folder": Escape(
        "os.symlink('/', 'root'); attempt(lambda: open('root' + '{secret}').read())", "outside-file", STRONG
    ),
    "external data by a hard link": Escape("attempt(lambda: os.link('{secret}', 'weights.bin'))", None, STRONG),
    "read below an open folder": Escape(
        "attempt(lambda: os.read(os.open('{secret}'[1:], os.O_RDONLY, dir_fd=os.open('/usr/..', os.O_PATH)), 99))",
        "outside-file",
        STRONG,
    ),
    "list the root's home": Escape("attempt(lambda: [x for x in os.listdir('/var/lib')])", "outside-file", STRONG),
    "read the password file": Escape("attempt(lambda: open('/etc/passwd').read())", "outside-file", STRONG),
    "truncate by path": Escape("attempt(lambda: os.truncate('{secret}', 0))", "outside-file", STRONG),
    "secrets in the environment": Escape(
        "found = [k for k in os.environ if 'SECRET' in k]; print('ESCAPED' if found else 'none')", None
    ),
    "secrets in an ancestor's environment": Escape(
        "attempt(lambda: open(f'/proc/{os.getppid()}/environ').read() or 1)",
        "outside-file",
        STRONG,
    ),
    "secrets in any process's environment": Escape(
        """
for name in os.listdir('/proc') if os.access('/proc', os.R_OK) else []:
    try:
        if name.isdigit() and b'hunter2' in open(f'/proc/{name}/environ', 'rb').read(): print('ESCAPED', name)
    except OSError: pass
""",
        None,
        STRONG,
    ),
    "read by a handle": Escape(
        "attempt(lambda: checked(libc.syscall({open_by_handle_at}, -100, ctypes.create_string_buffer(64), 0)))",
        "privileges",
    ),
    # Writing
    "write beside its folder": Escape("attempt(lambda: open('{outside}/planted', 'w').write('x'))", None, STRONG),
    "write by traversal": Escape(
        "attempt(lambda: open('../' * 40 + '{outside}'[1:] + '/planted', 'w').write('x'))", "outside-file", STRONG
    ),
    "write by a link": Escape(
        "os.symlink('{outside}', 'out'); attempt(lambda: open('out/planted', 'w').write('x'))", "outside-file", STRONG
    ),
    "rename out of its folder": Escape(
        "open('x', 'w').close(); attempt(lambda: os.rename('x', '{outside}/planted'))", None, STRONG
    ),
    "make a folder outside": Escape("attempt(lambda: os.mkdir('{outside}/planted'))", None, STRONG),
    "remove what lies outside": Escape("attempt(lambda: os.unlink('{secret}'))", None, STRONG),
    "change the mode of what lies outside": Escape("attempt(lambda: os.chmod('{secret}', 0o777))", None, STRONG),
    "change the time of what lies outside": Escape("attempt(lambda: os.utime('{secret}', (1, 1)))", None, STRONG),
    "write to the interpreter": Escape("attempt(lambda: open(os.__file__, 'a').write('x'))", "outside-file", STRONG),
    "write to the kernel's settings": Escape(
        "attempt(lambda: open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh'))", None
    ),
    "ask for its own limits back": Escape(
        "import resource; attempt(lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))",
        None,
    ),
    # Network and other processes
    "connect to a server": Escape(
        "attempt(lambda: socket.create_connection(('127.0.0.1', {port}), timeout=2))", "network"
    ),
    "send a datagram": Escape(
        "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port})))",
        "network",
    ),
    "listen": Escape("attempt(lambda: socket.socket(socket.AF_INET6).listen())", "network"),
    "talk to a local daemon": Escape(
        "s = None\nattempt(lambda: socket.socket(socket.AF_UNIX).connect('{outside}/daemon'))", None
    ),
    "trace its parent": Escape("attempt(lambda: checked(libc.ptrace(16, os.getppid(), 0, 0)))", "tracing"),
    "read its parent's memory": Escape(
        "attempt(lambda: checked(libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0)))", "tracing"
    ),
    "lower its parent's limits": Escape(
        "import resource; attempt(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)))", "tracing"
    ),
    "kill its parent": Escape("attempt(lambda: os.kill(os.getppid(), signal.SIGKILL))", "signal"),
    "kill the controller": Escape("attempt(lambda: os.kill({tester}, signal.SIGTERM) if {tester} != 1 else 1)", None),
    # Privileges
    "new namespaces": Escape("attempt(lambda: checked(libc.unshare(0x10000000)))", "privileges"),
    "mount": Escape("attempt(lambda: checked(libc.mount(b'x', b'/usr', b'tmpfs', 0, None)))", "privileges"),
    "leave its root": Escape("attempt(lambda: os.chroot('.'))", "privileges"),
    "be root": Escape("attempt(lambda: os.setresuid(0, 0, 0) if os.getuid() else 'is root')", None),
    "gain by a program's mode": Escape(
        "print('NoNewPrivs:\\t1' in open('/proc/self/status').read() and 'kept' or 'ESCAPED')", None
    ),
    "have a capability that serves": Escape(
        "line = [l for l in open('/proc/self/status') if l.startswith('CapEff')][0]\n"
        "print('ESCAPED ' + line if int(line.split()[1], 16) & ~4 else 'none')",
        None,
    ),
    "hide calls in a ring": Escape("attempt(lambda: checked(libc.syscall({io_uring_setup}, 8, 0)))", None),
    # Resources
    "a huge allocation": Escape("attempt(lambda: len(bytearray(8 << 30)))", "memory"),
    "many allocations": Escape(
        "kept = []\ndef more():\n    while True: kept.append(bytearray(8 << 20))\nattempt(more)", "memory"
    ),
    "memory of many processes": Escape(
        """
for _ in range(6):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20)) * 150
        signal.pause()
signal.pause()
""",
        "memory",
    ),
    "memory without a limit": Escape("attempt(lambda: os.memfd_create('x'))", None),
    "a huge file": Escape("attempt(lambda: os.truncate(os.open('x', os.O_RDWR | os.O_CREAT), 1 << 40))", "file-size"),
    "a file that grows": Escape(
        """
def grow():
    with open('x', 'wb') as file:
        for _ in range(99): file.write(bytes(1 << 20))
attempt(grow)
""",
        "file-size",
    ),
    "many files": Escape("for i in range(3000): open(f'{i}', 'w').close()\nprint('done')", "folder-size"),
    "a full disk": Escape(
        "for i in range(9):\n    with open(f'{i}', 'wb') as f: f.write(bytes(3 << 20))\nprint('done')", "folder-size"
    ),
    "endless output": Escape("for _ in range(4000): print('x' * 100)", "output"),
    "a fork bomb": Escape(
        """
def bomb():
    for _ in range(400):
        if os.fork() == 0: signal.pause()
attempt(bomb)
""",
        "processes",
    ),
    "a bomb of threads": Escape(
        "def bomb():\n    for _ in range(400): threading.Thread(target=signal.pause, daemon=True).start()\n"
        "attempt(bomb); sys.stdout.flush(); os._exit(0)",
        "processes",
    ),
    "too many open files": Escape(
        "kept = []\ndef more():\n    while True: kept.append(open('/dev/null'))\nattempt(more)", "open-files"
    ),
    "an endless loop": Escape("while True: pass", "processor-time", ALL, replace(SMALL, processor_seconds=1)),
    "an endless loop that does not listen": Escape(
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "processor-time",
        ALL,
        replace(SMALL, processor_seconds=1),
    ),
    "waiting for ever": Escape("signal.pause()", "wall-clock", ALL, replace(SMALL, wall_seconds=1.5)),
    "waiting for ever in another session": Escape(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: signal.pause()\nsignal.pause()",
        "wall-clock",
        ALL,
        replace(SMALL, wall_seconds=1.5),
    ),
}
CASES = [
    pytest.param(escape, level, id=f"{level.word}-{name}")
    for name, escape in ESCAPES.items()
    for level in escape.levels
]


@dataclass(frozen=True)
class Surroundings:
    """A secret that anybody may read, a folder where anybody may write, a server that answers everybody."""

    secret: Path
    outside: Path
    port: int


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    # Not a folder of pytest's: those are closed to nobody, and what is closed anyway proves nothing here.
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as daemon:
        outside = Path(name)
        outside.chmod(0o777)
        secret = outside / "secret"
        secret.write_text("the secret")
        secret.chmod(0o666)
        daemon.bind(str(outside / "daemon"))
        daemon.listen()
        (outside / "daemon").chmod(0o777)
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield Surroundings(secret, outside, server.getsockname()[1])


def attempt(escape: Escape, level: Level, who: str, surroundings: Surroundings) -> Outcome:
    from muster.build.sandbox import kernel

    needed = (name for name in ("socket", "sys", "threading") if f"{name}." in escape.script)
    script = "".join(f"import {name}\n" for name in needed) + TRY + escape.script
    for name, value in {
        "{secret}": surroundings.secret,
        "{outside}": surroundings.outside,
        "{port}": surroundings.port,
        "{tester}": os.getpid(),
        "{open_by_handle_at}": kernel.number("open_by_handle_at"),
        "{io_uring_setup}": kernel.number("io_uring_setup"),
    }.items():
        script = script.replace(name, str(value))
    try:
        return confined(script, who, level, escape.limits)
    except CannotHold as error:
        pytest.skip(error.message)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("escape", "level"), CASES)
def test_no_escape_succeeds(escape: Escape, level: Level, who: str, surroundings: Surroundings) -> None:
    """It gets nothing, changes nothing outside, is over within its limits, and what can be seen of it is named."""
    outcome = attempt(escape, level, who, surroundings)

    seen = outcome.stdout.decode()
    assert "ESCAPED" not in seen, seen
    assert b"SyntaxError" not in outcome.stderr
    assert b"NameError" not in outcome.stderr
    assert (surroundings.secret.read_text(), surroundings.secret.stat().st_mode & 0o777) == ("the secret", 0o666)
    assert sorted(path.name for path in surroundings.outside.iterdir()) == ["daemon", "secret"]
    if escape.named:
        assert outcome.tried(escape.named), (outcome.explain(), seen, outcome.stderr)
