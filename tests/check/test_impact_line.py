"""The line that says why no document changes: it counts where a reader sees it, once, with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.check.impact_line import MOST_CHARACTERS, ImpactLine, impact_line

WHY = "only a name inside changes"
LINE = f"Diagram-Impact: none: {WHY}"

FOUND = [
    pytest.param(LINE, id="alone"),
    pytest.param(
        f"# What\n\nWords.\n\n{LINE}\nPlaybook-Impact: none: nothing that a device reports\n", id="at the end"
    ),
    pytest.param(f"Words,\r\n{LINE}\r\nand more.", id="other line ends"),
    pytest.param(f"- [x] tests\n- {LINE}\n", id="in a list"),
    pytest.param(f"DIAGRAM-impact : NONE: {WHY}", id="another case"),
    pytest.param(f"   {LINE}   ", id="with spaces around"),
    pytest.param(f"<!-- say why -->\n\n{LINE}", id="after a comment"),
    pytest.param(f"<details>\n\n{LINE}\n\n</details>", id="folded"),
    pytest.param(f"{LINE}\n\n```\nDiagram-Impact: none: in a code block\n```", id="beside a code block"),
]


@pytest.mark.parametrize("body", FOUND)
def test_the_line_is_found(body: str) -> None:
    """Wherever a reader sees it as a line of text."""
    assert impact_line(body, "diagram") == ImpactLine(WHY)


ABSENT = [
    pytest.param("", id="nothing"),
    pytest.param(f"```\n{LINE}\n```", id="code block"),
    pytest.param(f"~~~text\n{LINE}\n~~~", id="other code block"),
    pytest.param(f"```\n{LINE}", id="code block without end"),
    pytest.param(f"    {LINE}", id="indented code"),
    pytest.param(f"`{LINE}`", id="code in a line"),
    pytest.param(f"`` `\n{LINE}\n``", id="code over lines"),
    pytest.param(f"<!-- {LINE} -->", id="comment"),
    pytest.param(f"<!--\n{LINE}\n-->", id="comment over lines"),
    pytest.param(f"Words <!--\n{LINE}\n-->", id="comment that begins in a line"),
    pytest.param(f"<!--\n{LINE}", id="comment without end"),
    pytest.param(f"> {LINE}", id="quote"),
    pytest.param(f"> words\n{LINE}", id="lazy quote"),
    pytest.param(f"> - {LINE}", id="list in a quote"),
    pytest.param(f"<div>\n{LINE}\n</div>", id="HTML"),
    pytest.param(f"[a]: /x '{LINE}'", id="link definition"),
    pytest.param(f"see {LINE}", id="inside a sentence"),
    pytest.param(f"Playbook-Impact: none: {WHY}", id="the other line"),
    pytest.param(f"Di\u0430gram-Impact: none: {WHY}", id="look-alike key"),
    pytest.param(f"Diagram\u2010Impact: none: {WHY}", id="look-alike hyphen"),
    pytest.param(f"Diagram-\u0130mpact: none: {WHY}", id="dotted capital"),
    pytest.param(f"\u202e{LINE}", id="turned around"),
    pytest.param(f"# {LINE}", id="heading"),
]


@pytest.mark.parametrize("body", ABSENT)
def test_there_is_no_line(body: str) -> None:
    """What a reader does not see as a line of the author's own is none."""
    assert impact_line(body, "diagram") == ImpactLine()


REFUSED = [
    pytest.param(f"{LINE}\n{LINE}", "stands 2 times", id="twice"),
    pytest.param(f"{LINE}\n\nDiagram-Impact: context", "stands 2 times", id="and another"),
    pytest.param("Diagram-Impact:", "none: <why>", id="empty"),
    pytest.param("Diagram-Impact: none", "none: <why>", id="without a reason"),
    pytest.param("Diagram-Impact: no: nothing is changed", "none: <why>", id="another word"),
    pytest.param("Diagram-Impact: none:", "gives no reason", id="empty reason"),
    pytest.param("Diagram-Impact: none: <why>", "gives no reason", id="the template's own words"),
    pytest.param("Diagram-Impact: none: n/a", "gives no reason", id="a word"),
    pytest.param("Diagram-Impact: none: none none none none", "gives no reason", id="the same word"),
    pytest.param("Diagram-Impact: none: ... --- ...", "gives no reason", id="signs"),
    pytest.param(f"{LINE}\u202e", "does not show", id="direction override"),
    pytest.param(f"{LINE}\u200b", "does not show", id="zero width"),
    pytest.param(f"{LINE} \x1b[2J", "does not show", id="escape"),
    pytest.param("Diagram-Impact: none: only \u0430 name changes", "not Latin", id="look-alike"),
    pytest.param(f"Diagram-Impact: none: {'many words of it ' * 40}", "more than 500", id="too long"),
    pytest.param(LINE + " " * MOST_CHARACTERS, "more than 65536", id="too long a body"),
]


@pytest.mark.parametrize(("body", "problem"), REFUSED)
def test_a_line_that_does_not_count(body: str, problem: str) -> None:
    """Each says why it does not count."""
    found = impact_line(body, "diagram")
    assert not found.why
    assert problem in found.problem


HOSTILE = [
    pytest.param(">" * 65_000, id="quotes"),
    pytest.param("`" * 65_000, id="code marks"),
    pytest.param("".join("`" * length + " " for length in range(350)), id="code marks of every length"),
    pytest.param("<!--" * 16_000, id="comments"),
    pytest.param("- " * 32_000, id="lists"),
    pytest.param("[" * 65_000, id="brackets"),
    pytest.param("Diagram-Impact" * 4_000, id="keys"),
    pytest.param("Diagram-Impact:\n" * 4_000, id="lines"),
    pytest.param("Diagram-Impact" + " \t" * 30_000, id="spaces"),
]


@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_body_is_read_to_its_end(body: str) -> None:
    """As much as a forge takes, of the worst, gives no reason."""
    assert not impact_line(body, "diagram").why


PIECES = st.sampled_from([
    "Diagram-Impact", ":", " none: ", "a few words", "\n", "\r\n", "> ", "- ", "```", "`", "<!--", "-->", "<b>", "\t",
    "\u202e", "\ud800", "    ", "[a]: ", "\\",
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=4), max_size=50).map("".join))
def test_no_body_raises(body: str) -> None:
    """Whatever is written, the answer is a reason, a problem, or neither; what is shown can be shown."""
    found = impact_line(body, "diagram")
    assert not (found.why and found.problem)
    assert (found.why + found.problem).isprintable()
