"""The list of what a hostile step tries: the tests run it, and docs/sandbox.md shows it.

A script prints `ESCAPED` and what it got when it succeeds, and something else when it does not. It knows `parent`, the
process that keeps the step, and `attempt`, which prints what became of a call. In it, `{secret}` is a file that anybody
may read and write, `{planted}` one that is not there and that anybody may make, both outside; `{lent}` one of its own
user that it may read; `{controller}` the process that runs the step; `{name of a system call}` its number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from muster.build.sandbox import kernel
from muster.build.sandbox.confinement import Level, Limits, Trespass

ALL = (Level.NAMESPACES, Level.LANDLOCK, Level.LIMITS)
STRONG = (Level.NAMESPACES, Level.LANDLOCK)
SMALL = Limits(
    memory=512 * 2**20,
    resident=512 * 2**20,
    processor_seconds=20,
    wall_seconds=60,
    file_size=4 * 2**20,
    folder_size=16 * 2**20,
    folder_entries=500,
    processes=12,
    open_files=40,
    output=20_000,
)


@dataclass(frozen=True)
class Escape:
    """A script, what the outcome has to name (nothing, if there is nothing to see), and where it is contained.

    `named`: the trespass, and what its example holds. One that is `alone` ends its step; others share one.
    """

    topic: str
    script: str
    named: tuple[Trespass, str] | None
    levels: tuple[Level, ...] = ALL
    limits: Limits = SMALL
    alone: bool = False


def _reading(script: str, named: str | None = "reading {secret}") -> Escape:
    return Escape("files", script, ("outside-file", named) if named else None, STRONG)


def _writing(script: str, named: str | None = None) -> Escape:
    return Escape("files", script, ("outside-file", named) if named else None, STRONG)


def _network(script: str, named: str | None) -> Escape:
    return Escape("network", script, ("network", named) if named else None)


def _process(script: str, trespass: Trespass, named: str | None) -> Escape:
    return Escape("other processes", script, (trespass, named) if named else None)


def _privilege(script: str, named: str | None = None) -> Escape:
    return Escape("privileges", script, ("privileges", named) if named else None)


def _call(name: str, *arguments: object) -> str:
    listed = ", ".join(map(str, arguments)) or "0"
    return f"attempt(lambda: checked(libc.syscall({{{name}}}, {listed})))"


def _ends(script: str, trespass: Trespass, limits: Limits = SMALL) -> Escape:
    return Escape("resources", script, (trespass, ""), ALL, limits, alone=True)


ESCAPES = {
    "read a file by its path": _reading("attempt(lambda: open('{secret}').read())"),
    "external data by traversal": _reading("attempt(lambda: open('../' * 40 + '{secret}'[1:]).read())"),
    "external data by a symbolic link": _reading(
        "os.symlink('{secret}', 'weights.bin'); attempt(lambda: open('weights.bin').read())"
    ),
    "external data by a link to a folder": _reading(
        "os.symlink('/', 'root'); attempt(lambda: open('root' + '{secret}').read())"
    ),
    "external data by a hard link": _reading("attempt(lambda: os.link('{secret}', 'weights.bin'))", None),
    "read below an open folder": _reading(
        "attempt(lambda: os.read(os.open('{secret}'[1:], os.O_RDONLY, dir_fd=os.open('/usr/..', os.O_PATH)), 99))",
    ),
    "read through its own root": _reading("attempt(lambda: open('/proc/self/root{secret}').read())", None),
    "read through its parent's root": _reading("attempt(lambda: open(f'/proc/{parent}/root{secret}').read())", None),
    "list a folder of the system": _reading("attempt(lambda: os.listdir('/var/lib'))", "reading /var/lib"),
    "read the password file": _reading("attempt(lambda: open('/etc/passwd').read())", "reading /etc/passwd"),
    "read the kernel's log": _reading("attempt(lambda: os.read(os.open('/dev/kmsg', os.O_RDONLY), 99))", None),
    "read who is in which control group": _reading("attempt(lambda: open('/sys/fs/cgroup/cgroup.procs').read())", None),
    "secrets in its environment": Escape(
        "files", "print('ESCAPED' if [k for k in os.environ if 'SECRET' in k] else 'none')", None
    ),
    "secrets in its parent's environment": _reading("attempt(lambda: open(f'/proc/{parent}/environ').read() or 1)", ""),
    "secrets in any process's environment": _reading(
        """
print('looked')
try: names = os.listdir('/proc')
except OSError: names = map(str, (parent, parent - 1, {controller}))
for name in names:
    try:
        if name.isdigit() and b'hunter2' in open(f'/proc/{name}/environ', 'rb').read(): print('ESCAPED', name)
    except OSError: pass
""",
        None,
    ),
    "read by a handle": _privilege(
        "attempt(lambda: checked(libc.syscall({open_by_handle_at}, -100, ctypes.create_string_buffer(64), 0)))",
        "open_by_handle_at",
    ),
    "an inherited descriptor": Escape(
        "files",
        """
import fcntl
def held(number):
    try: return fcntl.fcntl(number, fcntl.F_GETFD) >= 0
    except OSError: return False
found = [number for number in range(3, 40) if held(number)]
print('ESCAPED' if found else 'none', found)
""",
        None,
    ),
    "write beside its folder": _writing("attempt(lambda: open('{planted}', 'w').write('x'))", "writing {planted}"),
    "write by traversal": _writing(
        "attempt(lambda: open('../' * 40 + '{planted}'[1:], 'w').write('x'))", "writing {planted}"
    ),
    "write by a link": _writing(
        "os.symlink('{planted}', 'out'); attempt(lambda: open('out', 'w').write('x'))", "writing {planted}"
    ),
    "write to memory that all share": _writing("attempt(lambda: open('/dev/shm/planted', 'w'))", "writing /dev/shm"),
    "write to the interpreter": _writing("attempt(lambda: open(os.__file__, 'a').write('x'))", "writing "),
    "truncate by path": _writing("attempt(lambda: os.truncate('{secret}', 0))", "writing {secret}"),
    "rename out of its folder": _writing("open('x', 'w').close(); attempt(lambda: os.rename('x', '{planted}'))"),
    "make a folder outside": _writing("attempt(lambda: os.mkdir('{planted}'))"),
    "remove what lies outside": _writing("attempt(lambda: os.unlink('{secret}'))"),
    "change the mode of what lies outside": _writing("attempt(lambda: os.chmod('{secret}', 0o777))"),
    "change the time of what lies outside": _writing("attempt(lambda: os.utime('{secret}', (1, 1)))"),
    "change the mode of what it may only read": _writing(
        "attempt(lambda: os.fchmod(os.open('{lent}', os.O_RDONLY), 0o777))"
    ),
    "change an attribute of what it may only read": _writing(
        "attempt(lambda: os.setxattr(os.open('{lent}', os.O_RDONLY), 'user.planted', b'x'))"
    ),
    "write to the kernel's settings": Escape(
        "files", "attempt(lambda: open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh'))", None
    ),
    "connect to a server": _network(
        "attempt(lambda: socket.create_connection(('127.0.0.1', {port}), timeout=2))", "a stream socket, IPv4"
    ),
    "send a datagram": _network(
        "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port})))",
        "a datagram socket, IPv4",
    ),
    "listen": _network("attempt(lambda: socket.socket(socket.AF_INET6).listen())", "a stream socket, IPv6"),
    "ask the kernel for its routes": _network(
        "attempt(lambda: socket.socket(16, socket.SOCK_RAW))", "a raw socket, netlink"
    ),
    "talk to a local daemon": _network(
        "attempt(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '{daemon}'))", None
    ),
    "talk to a local daemon by a pair of sockets": _network(
        "attempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '{daemon}'))",
        "a datagram socket, local",
    ),
    "talk to a daemon without a path": _network(
        "attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0muster'))", None
    ),
    "trace its parent": _process(_call("ptrace", 16, "parent", 0, 0), "tracing", "ptrace"),
    "read its parent's memory": _process(
        _call("process_vm_readv", "parent", 0, 0, 0, 0, 0), "tracing", "process_vm_readv"
    ),
    "open its parent's memory": _process("attempt(lambda: open(f'/proc/{parent}/mem', 'rb'))", "tracing", None),
    "take a descriptor of its parent": _process(_call("pidfd_getfd", 0, 0, 0), "tracing", "pidfd_getfd"),
    "watch the processor": _process(_call("perf_event_open", 0, -1, 0, -1, 0), "tracing", "perf_event_open"),
    "lower its parent's limits": _process(
        "import resource; attempt(lambda: resource.prlimit(parent, resource.RLIMIT_CPU, (1, 1)))",
        "tracing",
        "prlimit64 of process",
    ),
    "hold up the controller": _process(
        "attempt(lambda: os.setpriority(os.PRIO_PROCESS, {controller}, 19))", "tracing", "setpriority"
    ),
    "choose the controller's processor": _process(
        "attempt(lambda: os.sched_setaffinity({controller}, [0]))", "tracing", None
    ),
    "kill its parent": _process("attempt(lambda: os.kill(parent, signal.SIGKILL))", "signal", "kill "),
    "kill the controller": _process("attempt(lambda: os.kill({controller}, signal.SIGTERM))", "signal", None),
    "kill by a descriptor": _process(
        """
import fcntl
one, other = socket.socketpair()
attempt(lambda: fcntl.fcntl(one, fcntl.F_SETOWN, {controller}))
""",
        "signal",
        "fcntl",
    ),
    "a message queue that outlasts it": _process(_call("msgget", 0, 0o1777), "tracing", None),
    "a semaphore that outlasts it": _process(_call("semget", 0, 1, 0o1777), "tracing", None),
    "shared memory that outlasts it": _process(_call("shmget", 0, 4096, 0o1777), "tracing", None),
    "shared memory of others": _process(_call("shmat", 0, 0, 0o10000), "tracing", None),
    "new namespaces": _privilege(_call("unshare", 0x10000000), "unshare"),
    "mount": _privilege("attempt(lambda: checked(libc.mount(b'x', b'/usr', b'tmpfs', 0, None)))", "mount"),
    "open a file system": _privilege("attempt(lambda: checked(libc.syscall({fsopen}, b'tmpfs', 0)))", "fsopen"),
    "leave its root": _privilege("attempt(lambda: os.chroot('.'))", "chroot"),
    "add a key": _privilege("attempt(lambda: checked(libc.syscall({add_key}, b'user', b'x', b'x', 1, -3)))", "add_key"),
    "read the keys": _privilege(_call("keyctl", 0, -3, 1), "keyctl"),
    "load a program into the kernel": _privilege(_call("bpf", 0, 0, 0), "bpf"),
    "handle its own page faults": _privilege(_call("userfaultfd", 1), "userfaultfd"),
    "be root": _privilege("attempt(lambda: os.setresuid(0, 0, 0) if os.getuid() else 'is root')"),
    "gain by a program's mode": _privilege("print('kept' if libc.prctl(39, 0, 0, 0, 0) == 1 else 'ESCAPED')"),
    "a capability that serves": _privilege(
        "held = (ctypes.c_uint32 * 6)()\n"
        "checked(libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held))\n"
        "print('ESCAPED' if held[0] & ~4 or held[3] else 'none', list(held))",
    ),
    "leave a program that is run as its owner": _privilege(
        "attempt(lambda: os.open('program', os.O_CREAT | os.O_WRONLY, 0o4755))"
    ),
    "make a program one that is run as its owner": _privilege(
        "attempt(lambda: os.fchmod(os.open('program', os.O_CREAT | os.O_WRONLY), 0o4755))"
    ),
    "hide calls in a ring": _privilege(_call("io_uring_setup", 8, 0)),
    "ask for its own limits back": Escape(
        "resources", "import resource; attempt(lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))", None
    ),
    "a huge allocation": Escape(
        "resources", "attempt(lambda: len(bytearray(8 << 30)))", ("memory", "bytes at once, with")
    ),
    "many allocations": _ends(
        "kept = []\ndef more():\n    while True: kept.append(bytes([1]) * (8 << 20))\nattempt(more)", "memory"
    ),
    "memory without a limit": Escape("resources", "attempt(lambda: os.memfd_create('x'))", None),
    "a huge file": Escape(
        "resources",
        "attempt(lambda: os.truncate(os.open('x', os.O_RDWR | os.O_CREAT), 1 << 40))",
        ("file-size", f"a file of {1 << 40} bytes"),
    ),
    "a file that grows": Escape(
        "resources",
        """
def grow():
    with open('grown', 'wb') as file:
        for _ in range(99): file.write(bytes(1 << 20))
attempt(grow)
""",
        ("file-size", "grown reached"),
    ),
    "a fork bomb": Escape(
        "resources",
        """
kept = []
def bomb():
    for _ in range(400):
        process = os.fork()
        if process == 0: signal.pause()
        kept.append(process)
attempt(bomb)
for process in kept: os.kill(process, signal.SIGKILL); os.waitpid(process, 0)
""",
        ("processes", "more than 12"),
    ),
    "a bomb of threads": Escape(
        "resources",
        "def bomb():\n    for _ in range(400): threading.Thread(target=signal.pause, daemon=True).start()\n"
        "attempt(bomb)",
        ("processes", "more than 12"),
    ),
    "too many open files": Escape(
        "resources",
        "kept = []\ndef more():\n    while True: kept.append(open('/dev/null'))\n"
        "try: attempt(more)\nfinally: kept.clear()",
        ("open-files", "more than 40"),
    ),
    "endless output": _ends("for _ in range(4000): print('x' * 100)", "output"),
    "memory of many processes": _ends(
        """
for _ in range(6):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20)) * 150
        signal.pause()
signal.pause()
""",
        "memory",
    ),
    "many files": _ends("for i in range(700): os.mkdir(f'{i}')\nprint('done')", "folder-size"),
    "a full disk": _ends(
        "for i in range(9):\n    with open(f'{i}', 'wb') as f: f.write(bytes(3 << 20))\nprint('done')", "folder-size"
    ),
    "a full disk in a folder that is closed": _ends(
        """
os.mkdir('hidden'); os.mkdir('hidden/below'); place = os.open('hidden/below', os.O_RDONLY)
for i in range(9):
    with os.fdopen(os.open(f'{i}', os.O_WRONLY | os.O_CREAT, dir_fd=place), 'wb') as f: f.write(bytes(3 << 20))
try: os.chmod('hidden', 0)
except OSError: pass
print('done')
""",
        "folder-size",
    ),
    "a full disk of files without a name": _ends(
        """
kept = []
for i in range(9):
    kept.append(open(f'{i}', 'wb', buffering=0)); os.unlink(f'{i}'); kept[-1].write(bytes(3 << 20))
signal.pause()
""",
        "folder-size",
    ),
    "folders too deep to be removed": _ends(
        "for _ in range(450): os.mkdir('d'); os.chdir('d')\nprint('done')", "folder-size"
    ),
    "an endless loop": _ends("while True: pass", "processor-time", replace(SMALL, processor_seconds=1)),
    "an endless loop that does not listen": _ends(
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "processor-time",
        replace(SMALL, processor_seconds=1),
    ),
    "waiting for ever": _ends("signal.pause()", "wall-clock", replace(SMALL, wall_seconds=1)),
    "waiting for ever in another session": _ends(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: signal.pause()\nsignal.pause()",
        "wall-clock",
        replace(SMALL, wall_seconds=1),
    ),
}
"""By what a person would call it."""

PRELUDE = """
import ctypes, json, os, signal, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
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
_SHARE = """
for number, code in json.loads({scripts!r}):
    print(f"== {number}", flush=True)
    os.mkdir(number)
    child = os.fork()
    if child == 0:
        os.chdir(number)
        try:
            exec(code)
        except BaseException as error:
            print("BROKEN", type(error).__name__, error)
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(child, 0)
"""


def shared(scripts: str) -> str:
    """The script of a step in which several try, one after the other. `scripts`: JSON of [number, script]."""
    return PRELUDE + _SHARE.replace("{scripts!r}", repr(scripts))


def filled(text: str, names: dict[str, str]) -> str:
    """The text with its placeholders filled: by `names`, or by the number of a system call."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in names:
            return names[name]
        return str(kernel.number(name)) if name in kernel.NUMBERS else found[0]

    return re.sub(r"\{(\w+)\}", value, text)
