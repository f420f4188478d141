"""Coverage-guided fuzzing of what a pull request may hold. Kept outside of the test suite: `make fuzz`.

    python fuzz/fuzz.py yaml|evidence|body|documents [libFuzzer options, as -max_total_time=600]

A finding or an error of our own is an answer; anything else that is raised is a defect, and ends the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

with atheris.instrument_imports(include=["muster"]):
    from fleets import make_fleet, make_release
    from muster.attest.dsse import sign_payload
    from muster.attest.evidence import read_evidence
    from muster.attest.keys import new_private_key, public_half
    from muster.check.case import Case
    from muster.check.change import Touched, difference
    from muster.check.judge import judge
    from muster.kinds.fleet import KINDS
    from muster.kinds.pull_request import Approval, PullRequest
    from muster.kinds.signing_key import SigningKey
    from muster.review.reports import REPORTS, as_data, github, junit, markdown, neutral, sarif, text  # noqa: F401
    from muster.source.validate import validate
    from muster.source.yaml_events import YamlFault, parse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
KEY = new_private_key()
TRUSTED = SigningKey.model_validate(
    {"metadata": {"name": "lab"}, "spec": {"publicKey": public_half(KEY), "uses": ["evidence"]}}
)
NEW = make_release("1.1.0", {"canary": "100%", "fleet": "5%"}, supersedes="1.0.0")


def fuzz_yaml(data: bytes) -> None:
    """Any bytes, as the file of any kind."""
    kinds = list(KINDS.values())
    try:
        validate("releases/a/1.0.0.yaml", kinds[data[0] % len(kinds)] if data else kinds[0], parse(data[1:]))
    except YamlFault:
        return


def fuzz_evidence(data: bytes) -> None:
    """Any bytes, as an evidence file, and as the statement inside of one that a trusted key signed."""
    read_evidence(f"evidence/{'0' * 64}/measurement.json", data, (TRUSTED,))
    read_evidence(f"evidence/{'0' * 64}/measurement.json", sign_payload(data, KEY), (TRUSTED,))


def fuzz_body(data: bytes) -> None:
    """Any text as body, title, login, path and file of a pull request: judged, and reported in every form."""
    provider = atheris.FuzzedDataProvider(data)
    form = list(REPORTS)[provider.ConsumeIntInRange(0, len(REPORTS) - 1)]
    body, name, path, text = (provider.ConsumeUnicodeNoSurrogates(120) for _ in range(4))
    head = "b" * 40
    touched = (Touched(path or "x", None, "c" * 40), Touched(".gitattributes", None, "d" * 40))
    change = difference(make_fleet(OLD), make_fleet(NEW, OLD), touched)
    request = PullRequest("a" * 40, head, name, name, body, 1, (Approval(name, head, NOW),), (), "github")
    judgement = judge(Case(change, request, NOW, files={path: text}))
    REPORTS[form](judgement)


def fuzz_documents(data: bytes) -> None:
    """Any text, as a diagram and as a playbook."""
    from muster.check.documents.diagram import read_diagram
    from muster.check.documents.playbook import read_playbook

    text = data.decode(errors="replace")
    read_diagram("docs/diagrams/context.mmd", text)
    read_playbook("docs/playbooks/accuracy-drop.md", text)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "yaml": fuzz_yaml,
    "evidence": fuzz_evidence,
    "body": fuzz_body,
    "documents": fuzz_documents,
}


def main() -> None:
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
