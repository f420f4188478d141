"""Every command in the README and in the page about the gate runs, and every generated part is in step.

A section is one session in one shell. What a document shows below a command is what the command says, in that order,
with … for anything; where it shows `blocked: …`, the command exits 1, and 0 everywhere else.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/gate.md")
SECTIONS = [
    section
    for document in DOCUMENTS
    for section in re.split(r"^## ", (ROOT / document).read_text(), flags=re.MULTILINE)[1:]
]
UP = "until muster get status > /dev/null 2>&1; do sleep 0.2; done"


@dataclass(frozen=True)
class Command:
    """A command with its continuation lines, and what the document shows below it."""

    text: str
    shown: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        return self.shown[:1] != () and self.shown[0].startswith("blocked: ")


def commands(section: str) -> list[Command]:
    """The commands of a section, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    return [
        Command(match[1], tuple(filter(None, match[2].splitlines())))
        for block in blocks
        for match in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE)
    ]


def title(section: str) -> str:
    return section.partition("\n")[0]


SESSIONS = {title(s): commands(s) for s in SECTIONS if commands(s)}
MAKE_ONLY = {name for name, lines in SESSIONS.items() if all(line.text.startswith("make ") for line in lines)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this repository as it stands, with its environment."""
    folder = tmp_path / "muster"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    # Whatever is checked out here: a reader's clone stands on main.
    subprocess.run(["git", "switch", "-q", "-C", "main"], cwd=folder, check=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # The environment is there; to install this copy into it would take it from the working tree.
    installed = (ROOT / ".venv" / ".ready").stat().st_mtime - 1
    for name in ("requirements.lock", "pyproject.toml"):
        os.utime(folder / name, (installed, installed))
    return folder


@pytest.mark.parametrize("name", sorted(SESSIONS.keys() - MAKE_ONLY))
def test_the_commands_of_a_section_run(clone: Path, name: str) -> None:
    """Each command exits as the document shows, in order, in one shell; what the section leaves running is ended."""
    lines = ["set -eu", "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT"]
    for command in SESSIONS[name]:
        lines += [
            f"echo '+' {shlex.join(command.text.split()[0:3])}",
            refused(command) if command.is_refused else command.text,
        ]
        if command.text.startswith("muster run") and command.text.endswith("&"):
            # A person takes longer to type the next command than the controller to start.
            lines.append(UP)
    environment = {
        **os.environ,
        "GIT_AUTHOR_NAME": "Reader",
        "GIT_AUTHOR_EMAIL": "reader@fleet.example",
        "GIT_COMMITTER_NAME": "Reader",
        "GIT_COMMITTER_EMAIL": "reader@fleet.example",
    }
    script = "\n".join(lines)
    said = clone / "said.txt"
    with said.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=clone, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = shell.wait(120)
        finally:
            # Whatever the section left running, also when it did not come to its end.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    text = said.read_text()
    assert code == 0, text[-3_000:]
    expected = [line for command in SESSIONS[name] for line in command.shown]
    assert re.search(".*".join(map(pattern, expected)), text, flags=re.DOTALL), (expected, text[-10_000:])


def refused(command: Command) -> str:
    """The command as a line of the shell that goes on only if it exits 1."""
    return f"code=0; {command.text} || code=$?; test $code = 1"


def pattern(line: str) -> str:
    """A shown line, whole, as a regular expression."""
    return r"(?m:^)" + r"[^\n]*".join(map(re.escape, line.split("…"))) + r"(?m:$)"


@pytest.mark.parametrize("command", sorted({line.text for name in MAKE_ONLY for line in SESSIONS[name]}))
def test_make_commands_run(clone: Path, command: str) -> None:
    """Every `make` target that the README names exits 0, and `fix` and `docs` find nothing to change.

    `make test` would run this test again, so only its rule is looked at; so with what `.ci/run` runs beside it, and
    `make demo`, which `make test-long` runs.
    """
    dry = ["--dry-run"] if command in ("make test", "make demo", "make check", "make test-long") else []
    done = subprocess.run([*command.split(), *dry], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert changes(clone) == changes(ROOT)


def changes(folder: Path) -> str:
    """What git sees as changed in tracked files."""
    command = ["git", "diff", "--stat", "HEAD"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_generated_parts_are_in_step() -> None:
    """The table of verbs and the diagram of phases say what the code says."""
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_links_lead_somewhere() -> None:
    """Every relative link in a document points at a file of the repository."""
    broken = [
        f"{document.name}: {target}"
        for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", re.sub(r"`[^`\n]*`", "", document.read_text()))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []
