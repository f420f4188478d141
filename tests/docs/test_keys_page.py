"""Every command of the section about keys runs, one after the other, and says what the section shows below it."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from test_documents import commands, pattern

from muster.apply.publish import Publisher
from muster.apply.tuf_keys import TufKeys
from muster.cli import exit_code_of

PAGE = Path(__file__).resolve().parents[2] / "docs/operating.md"
(SECTION,) = re.findall(r"^## Keys\n(.*?)^## ", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_section_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys are moved away, replaced, lost and made anew; in the end devices are to trust what the last root names."""
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["keys", "init"]) == 0
    before = Publisher(Path(".muster/public"), TufKeys()).key_ids()
    capsys.readouterr()
    for command in (session := commands(SECTION)):
        if command.text.startswith("muster "):
            assert exit_code_of(shlex.split(command.text)[1:]) == 0, command.text
            said = capsys.readouterr().out
            assert re.fullmatch("\n".join(map(pattern, command.shown)) + "\n", said, flags=re.DOTALL), said
        else:
            subprocess.run(["bash", "-c", command.text], check=True)
    assert len(session) == 8
    after = Publisher(Path(".muster/public"), TufKeys.load(Path(".muster/keys"))).key_ids()
    assert {"snapshot"} == {role for role in before if before[role] == after[role]}
