"""Runs the git program: one place for its arguments, its environment and its bounds.

Why the program and not a binding: git's own plumbing is the best kept library for this, and it starts faster than
GitPython imports (171 ms against 2 ms), which would call the same program.

Rules it keeps:
- Neither the system's nor the user's git configuration is read, so that the same call does the same everywhere. An
  operator whose remote needs a credential helper names a git configuration file in `MUSTER_GIT_CONFIG`.
- No hook, file-system monitor, external transport, pager or prompt runs on our side. Hooks of a remote run there.
- Ownership (`safe.directory`) is not checked for the repository that a caller names: what that check guards against,
  configuration that executes programs, is switched off by the rule above, and CI checks out as another user.
- Output is bounded, and every call has a deadline; past either, git and its children are ended.
- Calls that write fsync what they wrote.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.kinds.errors import Refused, TryAgain, Unusable

MIB = 2**20
SECONDS = 60.0
_ERRORS_KEPT = 64 * 1024

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.pager=cat",
    "gc.autoDetach=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "protocol.ext.allow=never",
    "safe.directory=*",
    "submodule.recurse=false",
)

# What git and the ssh and https helpers under it need from outside; no other GIT_* variable passes.
_KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
)


@dataclass(frozen=True)
class Answer:
    """What one call of git came to."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output as one stripped line of text."""
        return self.output.decode(errors="replace").strip()

    @property
    def reason(self) -> str:
        """What git complained of, on one line, without control characters."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
        return printable("; ".join(said)[:1_000]) or f"git left with exit code {self.code}"


def printable(text: str) -> str:
    """The text with every control character and lone surrogate escaped, safe for a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def run_git(
    arguments: Sequence[str],
    folder: Path,
    *,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    limit: int = 64 * MIB,
    seconds: float = SECONDS,
) -> Answer:
    """Run git in `folder` with `given` as its input, and collect its output.

    `limit` bounds the output in bytes. Raises `Refused` past it, `TryAgain` past the deadline, and `Unusable` if
    there is no git program or no such folder. A failure of git itself is an answer, not an error.
    """
    command = ["git", *(part for setting in _SETTINGS for part in ("-c", setting)), *arguments]
    with tempfile.TemporaryFile() as stdin:
        # A file, not a pipe: git may answer before it has read everything, and neither side blocks.
        stdin.write(given)
        stdin.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - a list, no shell; callers refuse leading hyphens
                command,
                cwd=folder,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**_environment(), **(environment or {})},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            if not folder.is_dir():
                raise Unusable(f"no such folder: {folder}", "name a folder that exists") from error
            raise Unusable("the git program is not installed", "install git 2.32 or later") from error
        except OSError as error:
            raise Unusable(
                f"cannot run git in {folder}: {error.strerror}", "see the permissions of the folder and of git"
            ) from error
    with process:
        try:
            output, errors = _collect(process, _verb(arguments), limit, time.monotonic() + seconds)
        except BaseException:
            _end(process)
            raise
    return Answer(process.returncode, output, errors.decode(errors="replace"))


def _verb(arguments: Sequence[str]) -> str:
    return next((argument for argument in arguments if not argument.startswith("-")), "")


def _environment() -> dict[str, str]:
    kept = {name: value for name in _KEPT if (value := os.environ.get(name)) is not None}
    return {
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        **kept,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.environ.get("MUSTER_GIT_CONFIG", os.devnull),
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Muster",
        "GIT_AUTHOR_EMAIL": "muster@localhost",
        "GIT_COMMITTER_NAME": "Muster",
        "GIT_COMMITTER_EMAIL": "muster@localhost",
        "LC_ALL": "C",
        "TZ": "UTC",
    }


def _collect(process: subprocess.Popen[bytes], verb: str, limit: int, deadline: float) -> tuple[bytes, bytes]:
    """Both streams until they close."""
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, output)
        waiting.register(process.stderr, selectors.EVENT_READ, errors)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TryAgain(f"git {verb} did not answer in time", "see whether the remote and the disk answer")
            for key, _ in ready:
                chunk = os.read(key.fd, 256 * 1024)
                if not chunk:
                    waiting.unregister(key.fileobj)
                key.data.extend(chunk)
            del errors[_ERRORS_KEPT:]
            if len(output) > limit:
                raise Refused(
                    f"git {verb} answers with more than {limit} bytes", "this tree or history is too large to read"
                )
    try:
        process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TryAgain(f"git {verb} did not end in time", "see that the disk and the remote answer") from error
    return bytes(output), bytes(errors)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started; they share a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
