"""Every command of the page about signing runs, in one shell, against a Sigstore, and says what the page shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from test_documents import pattern

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle
from muster.simulate.sigstore.service import running
from scratch_repository import repository_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/signing.md").read_text()
WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"
CONTENT = {MODEL: b"model", CONFIG: b"{}", MANIFEST: b"{}", GOLDEN_INPUTS: b"i", GOLDEN_EXPECTED: b"e"}


def session() -> tuple[str, list[str]]:
    """The commands as one script, and what the page shows below them."""
    script, shown, inside = [f'muster() {{ "{sys.executable}" -m muster "$@"; }}', "set -eu"], [], False
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                script.append(line.removeprefix("$ "))
            elif inside or script[-1].endswith("\\"):
                script.append(line)
            else:
                shown.append(line)
            inside = (inside or "<<END" in line) and line != "END"
    return "\n".join(script), shown


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    """A key and an identity are declared, sign, are believed; the identity is taken away, and is not."""
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for name in ("releases", "devices", "policies", "docs", "builders")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix in (".yaml", ".mmd", ".md", ".lock")
    }
    fleet = tmp_path / "fleet"
    repository_of(fleet, files)
    (fleet / "artifact.tar").write_bytes(pack_bundle(CONTENT))
    script, shown = session()
    with running() as sigstore:
        token = fleet / "token"
        token.touch(mode=0o600)
        token.write_text(sigstore.token(WORKFLOW))
        (fleet / "trust.json").write_text(json.dumps(sigstore.trust_config(2)))
        who = {
            f"GIT_{role}_{part}": "reader@fleet.example"
            for role in ("AUTHOR", "COMMITTER")
            for part in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=fleet,
            env={**os.environ, **who, "ISSUER": sigstore.issuer},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert re.search(".*".join(map(pattern, shown)), done.stdout, flags=re.DOTALL), (shown, done.stdout)
