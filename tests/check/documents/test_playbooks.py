"""Playbooks: the fixed structure is held, and nothing that only looks like it counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.check.documents.playbook import SECTIONS, log_keys, read_playbook, said
from muster.check.documents.readable import MOST_FINDINGS
from small_documents import playbook

PATH = "docs/playbooks/x.md"
GOOD = playbook("bulb_broken", "no_current")


def complaints(text: str) -> list[tuple[int, str]]:
    """Line and message of each."""
    return [(finding.place.line, finding.message) for finding in read_playbook(PATH, text).findings]


def line_of(text: str) -> int:
    """Where this stands in the good playbook."""
    return GOOD[: GOOD.index(text)].count("\n") + 1


def without(name: str) -> str:
    """The good playbook without one section."""
    before, _, rest = GOOD.partition(f"## {name}\n")
    return before + rest[rest.index("\n## ") + 1 :] if "\n## " in rest else before


def test_a_good_playbook_is_read() -> None:
    """Title, codes with their line, commands with theirs, and log keys come out; nothing is wrong with it."""
    found = read_playbook(PATH, GOOD)
    assert found.findings == ()
    assert (found.title, found.error_codes, found.codes_line) == ("It is dark", ("bulb_broken", "no_current"), 3)
    assert found.log_keys == ("error_code", "phase")
    assert found.commands == (
        (line_of("$ muster get devices"), "muster get devices"),
        (line_of("$ muster get status"), "muster get status"),
    )
    assert read_playbook(PATH, playbook()).error_codes == ()


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_needed(name: str) -> None:
    """A section that is missing is named."""
    assert (1, f"the section {name} is missing") in complaints(without(name))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_says_something(name: str) -> None:
    """A heading alone is not a section, and neither is one with a smaller heading below it."""
    before, _, rest = GOOD.partition(f"## {name}\n")
    after = rest[rest.index("\n## ") :] if "\n## " in rest else "\n"
    line = line_of(f"## {name}\n")
    assert (line, f"the section {name} is empty") in complaints(f"{before}## {name}\n{after}")
    assert (line, f"the section {name} is empty") in complaints(f"{before}## {name}\n\n### Later\n{after}")


def test_sections_stand_in_their_order() -> None:
    """Whoever knows one playbook finds the same step at the same place in all."""
    swapped = GOOD.replace("## Symptom", "## X").replace("## Impact", "## Symptom").replace("## X", "## Impact")
    assert complaints(swapped) == [(5, "the section Impact stands too early")]


CHANGED = [
    pytest.param("# It is dark\n", "It is dark\n", "the playbook has no title", id="no title"),
    pytest.param("Error codes: `", "Error code: `", "no line `Error codes:` stands here", id="no codes"),
    pytest.param("`, `no", "` and `no", "no line `Error codes:` stands here", id="codes in prose"),
    pytest.param("`no_current`", "`bulb_broken`", "bulb_broken is listed twice", id="a code twice"),
    pytest.param("## Impact", "## Impacts", '"Impacts" is no section of a playbook', id="unknown section"),
    pytest.param("## Impact", "# Impact", '"Impact" is no section of a playbook', id="another level"),
    pytest.param("## Impact", "> ## Impact", '"Impact" is no section of a playbook', id="section in a quote"),
    pytest.param("## Impact", "- ## Impact", '"Impact" is no section of a playbook', id="section in a list"),
    pytest.param("People fall.", "- ### Smaller", '"Smaller" is no section of a playbook', id="heading in a list"),
    pytest.param("## Impact", "```\n## Impact\n```", "the section Impact is missing", id="section in a code block"),
    pytest.param("## Impact", "<!--\n## Impact\n-->", "the section Impact is missing", id="section in a comment"),
    pytest.param("People fall.", "## Impact\n\nAgain.", "the section Impact stands here again", id="section twice"),
    pytest.param("People fall.", "People fall\n---", '"People fall" is no section of a playbook', id="underlined"),
    pytest.param("```console", "```text", "Diagnostics has no command", id="no console block"),
    pytest.param("$ muster", "muster", "Diagnostics has no command", id="no command in it"),
    pytest.param("Log keys: ", "Keys: ", "Diagnostics names no log keys", id="no log keys"),
    pytest.param("`phase`", "`phases`", "phases is no key of telemetry", id="unknown log key"),
    pytest.param("People fall.", "<script>alert(1)</script>", "HTML in a playbook", id="HTML"),
    pytest.param("People fall.", "<details open ontoggle=x>\n", "HTML in a playbook", id="an HTML block"),
    pytest.param("People fall.", "People <b onclick=x>fall</b>.", "HTML in a playbook", id="HTML in a line"),
    pytest.param("People fall.", "Pe\u043eple", "the letter U+043E is not a Latin one", id="look-alike"),
    pytest.param("## Impact", "## Imp\u0430ct", "the letter U+0430 is not a Latin one", id="look-alike in a heading"),
    pytest.param("People", "\u202eelpoeP", "the character U+202E does not show in an editor", id="direction"),
]


@pytest.mark.parametrize(("old", "new", "message"), CHANGED)
def test_what_is_not_the_structure_is_a_finding(old: str, new: str, message: str) -> None:
    """Each departure from the structure is named, in its words."""
    assert old in GOOD
    assert message in [text for _, text in complaints(GOOD.replace(old, new))]


def test_comments_are_nobodys_business() -> None:
    """A comment of one's own stands anywhere, and says nothing."""
    text = GOOD.replace("People fall.", "<!-- to be asked -->\n\nPeople fall.")
    assert complaints(text) == []
    assert said(text) == said(GOOD)


def test_code_may_hold_anything() -> None:
    """What is marked as code shows as it stands."""
    assert complaints(GOOD.replace("People fall.", "They see `<b>` and ``a ` <i>``.")) == []
    for text in ("`<b>``", "\\`<b>`", "`a` <b> `c`"):
        assert "HTML in a playbook" in [message for _, message in complaints(GOOD.replace("People fall.", text))]


def test_said_knows_no_white_space() -> None:
    """Two texts that read the same are equal; another command is not."""
    assert said(GOOD.replace("\n\n", "\n\n\n").replace("Nobody sees", "Nobody  sees")) == said(GOOD)
    assert said(GOOD.replace("get status", "get devices")) != said(GOOD)
    assert said("<!-- nothing -->\n") == ()


def test_log_keys_are_those_of_telemetry() -> None:
    """The keys that devices are fixed to report."""
    assert {"model_hash", "config_version", "error_code", "phase", "p95_ms"} < log_keys()


TOO_LARGE = [
    pytest.param("a" * 1_000_000, id="one line of a megabyte"),
    pytest.param("## Impact\n" * 5_000, id="many lines"),
    pytest.param(">" * 100_000, id="deep quotes"),
]


@pytest.mark.parametrize("text", TOO_LARGE)
def test_too_large_is_one_finding(text: str) -> None:
    """What is past the bounds is not looked at."""
    (finding,) = read_playbook(PATH, text).findings
    assert finding.rule == "too-large"


DEEP = [
    pytest.param((">" * 900 + "\n") * 100, id="quotes"),
    pytest.param("".join(" " * (2 * depth) + "- a\n" for depth in range(400)), id="lists"),
    pytest.param("[" * 900 + "\n", id="brackets"),
    pytest.param(("`" * 900 + "\n") * 100, id="code marks"),
    pytest.param("<!--" * 200 + "\n", id="comments"),
]


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting_ends_in_findings(text: str) -> None:
    """Nesting without end is read to its bounds, and is no playbook."""
    assert len(read_playbook(PATH, GOOD + text).findings) <= MOST_FINDINGS
    assert read_playbook(PATH, text).findings


PIECES = st.sampled_from([
    *(f"## {name}\n" for name in SECTIONS), "# x\n", "Error codes: ", "Log keys: ", "`a`", ", ", "none", "```console\n",
    "$ a\n", "```\n", "> ", "- ", "\n\n", "<!--", "-->", "<b>", "\u202e", "\t", "---\n", "[", "](", "\\", "\ud800",
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=60).map("".join) | st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    """Whatever stands there, the answer is a playbook with findings that a terminal can show."""
    for whole in (text, GOOD + text, GOOD.replace("People fall.", text)):
        for finding in read_playbook(PATH, whole).findings:
            assert (finding.message + finding.hint).isprintable()
        said(text)
