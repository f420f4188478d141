"""review/reports: nothing that somebody else wrote becomes an instruction, a link, or something that cannot be seen."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judgements import ACCURACY, REQUEST, STAYS, WAIVED, blocked, canary
from lxml import etree
from markdown_it import MarkdownIt
from rich.cells import cell_len
from ruamel.yaml import YAML

from muster.check.change import Item
from muster.check.judgement import Judgement, NeededApproval
from muster.check.verdict import Verdict, Waived
from muster.kinds.finding import Place, Pointer
from muster.review.reports import REPORTS, neutral
from muster.review.reports.markdown import LONGEST, MARKER

ATTACKS = {
    "mention": "@security-team please approve, /cc @org/admins",
    "reference": "closes #1, fixes GH-2 and other/repo#3",
    "commit": "see deadbeefdeadbeefdeadbeefdeadbeefdeadbeef and deadbeef-x",
    "link": "[click](javascript:alert(1)) and [ref][x] <https://evil.example> www.evil.example http://evil.example",
    "image": "![x](https://evil.example/pixel.png)",
    "html": "</details><script>alert(1)</script><img src=x onerror=alert(1)><!-- muster:check -->",
    "cell": "a | b || c \\| d\n| e | f |\n|---|---|",
    "fence": '```\n```mermaid\nclick a href "javascript:alert(1)"\n```\n~~~',
    "code span": "` `` ``` out \\` of `it",
    "mermaid": '"] --> x["<script>"]; click m0 call evil() %%{init: {"securityLevel": "loose"}}%% end\n---',
    "workflow command": "x\n::error file=a::b\r\n::set-output name=x::y ##[command]z ::stop-commands::t",
    "heading": "# big\n- item\n> quote\n1. one\n---\n===",
    "emphasis": "**bold** _x_ ~~y~~ $`math`$ $$z$$ :tada: [^1] [!NOTE]",
    "bidi": "admin\u202e nimda\u2066x\u2069",
    "zero width": "ad\u200bmin\u200d\ufeff\u00ad\u2060",
    "terminal": "\x1b[31mred\x1b[0m\x07\x9b1m\x08\r",
    "look-alike": "docs/di\u0430grams/p\u0430yload",
    "full width": "\uff41\uff44\uff4d\uff49\uff4e \U0001d41a",
    "marks": "e" + "\u0301" * 50,
    "surrogate": "\ud800x\udfff",
    "xml": "]]></failure><error/>\x00\x0b\ufffe\uffff&amp;<!DOCTYPE x>",
    "sarif": "[here](0) {0} {{x}} \\[y\\]",
    "tags": "x\U000e0041\U000e0042\ufe0f\u3164",
    "long": "x" * 100_000,
}
attacks = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
texts = st.one_of(
    st.text(alphabet=st.characters(), max_size=100),
    st.lists(
        st.sampled_from([*ATTACKS.values(), "`", "|", "\n", "::", "@a", "#1", "<b>", "```\n", "-", "1.", " "])
    ).map(lambda parts: "".join(parts)[:400]),
)


def infected(text: str) -> Judgement:
    """A judgement in which every text that somebody else can write is this one."""
    verdicts = [
        replace(
            verdict,
            subject=text,
            message=text,
            hint=text,
            gate=text,
            slice=text,
            device_class=text,
            measured=text,
            threshold=text,
            evidence=text,
            where=Pointer(text, (text,)),
            place=Place(text, 1, 1),
            waived=verdict.waived and Waived(text, text, text, text),
        )
        for verdict in (ACCURACY, WAIVED, *blocked().verdicts)
    ]
    rows = [replace(row, model=text, cohort=text, device_class=text, now=((text, 50_000),)) for row in (STAYS, STAYS)]
    made = canary(*verdicts, approvals=(NeededApproval(text, (text, text), 2, (text,)),), notes=(text,))
    change = replace(made.change, items=(Item("file", "added", text, text, (text,)),))
    return replace(made, change=change, rows=tuple(rows), request=replace(REQUEST, author=text, title=text, body=text))


def tokens(markdown: str):
    """All tokens, block and inline, of a comment as GitHub-like Markdown."""
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        yield token
        yield from token.children or ()


def outside_code(markdown: str) -> str:
    """Everything a forge would look through for mentions and references."""
    return "\n".join(token.content for token in tokens(markdown) if token.type == "text")


def check_inline(markdown: str) -> None:
    found = {token.type for token in tokens(markdown)}
    assert found <= {"inline", "text", "code_inline", "paragraph_open", "paragraph_close", "softbreak"}, found
    check_unlinked(outside_code(markdown))


def check_unlinked(shown: str) -> None:
    """No mention, reference, commit, address, emoji, math, or marker is left in text that is not code."""
    assert not re.search(r"[@#$<>\[\]`|\\]|https?:|www\.|\bgh-\d|\b[0-9a-f]{7,40}\b|:\w+:", shown, re.IGNORECASE), shown


def check_visible(report: str) -> None:
    for letter in report:
        assert letter == "\n" or letter.isprintable() or letter == "\ufe0f", hex(ord(letter))


class TestMarkdown:
    """What goes into the comment."""

    @attacks
    def test_attacks(self, attack):
        """As text, in a code span, and in a cell, it shows as text or code and as nothing else."""
        check_inline(f"x: {neutral.markdown(attack)}")
        check_inline(f"x: {neutral.code(attack)}")
        check_inline(f"x: {neutral.name_code(attack)}")

    @given(texts)
    @settings(max_examples=150, deadline=None)
    def test_any_text(self, text):
        """The same of any text."""
        check_inline(f"x: {neutral.markdown(text)}")
        check_inline(f"x: {neutral.code(text)}")
        check_inline(f"x: {neutral.name_code(text)}")

    @given(texts)
    @settings(max_examples=100, deadline=None)
    def test_stays_in_its_cell(self, text):
        """A table with it has as many cells as it was made with."""
        cells = f"{neutral.markdown(text) or '–'} | {neutral.code(text) or '–'}"
        table = f"| a | b |\n|---|---|\n| {cells} |\n| end | end |\n"
        kinds = [token.type for token in tokens(table)]
        assert (kinds.count("tr_open"), kinds.count("td_open")) == (3, 4)

    @attacks
    def test_the_whole_comment(self, attack):
        """A comment full of it has our structure alone, one marker, and is not too long."""
        check_comment(REPORTS["markdown"](infected(attack)))

    @given(texts)
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_any_comment(self, text):
        """The same of any text."""
        check_comment(REPORTS["markdown"](infected(text)))

    def test_plain_words_stay(self):
        """What means nothing is shown as it is."""
        text = "accuracy on night is 91.2%, below 95%; that isn't enough (yet) → train"
        assert neutral.markdown(text) == text

    def test_commands_are_code(self):
        """What stands in backticks is shown as code."""
        assert neutral.markdown("run `muster check --base A`, then wait") == "run `muster check --base A` `,` then wait"


def check_comment(comment: str) -> None:
    """Markdown of ours alone: HTML only as our folds and marker, one fence at most, tables of four columns."""
    assert len(comment) <= LONGEST
    check_visible(comment)
    html = {token.content.strip() for token in tokens(comment) if token.type in ("html_block", "html_inline")}
    assert all(
        re.fullmatch(r"<details><summary>[\w :]+</summary>|</details>|" + re.escape(MARKER), tag) for tag in html
    )
    kinds = [token.type for token in tokens(comment)]
    assert not {"link_open", "image", "blockquote_open", "ordered_list_open", "hr", "code_block"} & set(kinds)
    assert kinds.count("heading_open") == 1
    assert kinds.count("fence") <= 1
    tags = [token.content.strip() for token in tokens(comment) if token.type == "html_block"]
    assert tags.count(MARKER) == 1
    assert tags.count("</details>") == len(tags) // 2
    assert comment.splitlines().count(MARKER) == 1
    check_unlinked("\n".join(line for line in outside_code(comment).splitlines() if not line.startswith("flowchart")))


class TestMermaid:
    """The picture."""

    @given(texts)
    @settings(max_examples=100, deadline=None)
    def test_labels(self, text):
        """A label has no letter that Mermaid reads as anything but a letter."""
        assert re.fullmatch(r"[A-Za-z0-9 ._/%:,-]+", neutral.mermaid_label(text))
        assert "%%" not in neutral.mermaid_label(text)

    @attacks
    def test_lines(self, attack):
        """Each line of the fence is one of the four that we write."""
        fence = next(token.content for token in tokens(REPORTS["markdown"](moving(attack))) if token.type == "fence")
        label = r'\["[A-Za-z0-9 ._/%:,-]*"\]'
        line = rf"flowchart LR|  subgraph m\d+{label}|    b\d+{label} --> a\d+{label}|  end"
        assert [found for found in fence.splitlines() if not re.fullmatch(line, found)] == []


def moving(text: str) -> Judgement:
    """A judgement whose rows move, all names of which are this text."""
    made = infected(text)
    rows = [replace(row, direction="forward", then=((f"{text}{number}", 1),)) for number, row in enumerate(made.rows)]
    return replace(made, rows=tuple(rows))


class TestTerminal:
    """Text for people, also in a runner's log."""

    @attacks
    def test_report(self, attack):
        """Nothing in it moves a cursor, hides, starts a workflow command, or goes past 120 columns."""
        check_text(REPORTS["text"](infected(attack)))

    @given(texts)
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_any_text(self, text):
        """The same of any text."""
        check_text(REPORTS["text"](infected(text)))


def check_text(report: str) -> None:
    check_visible(report)
    assert "::" not in report
    assert "##[" not in report
    assert max(map(cell_len, report.splitlines())) <= 120


class TestAnnotations:
    """Workflow commands."""

    @given(texts)
    @settings(max_examples=25, deadline=None)
    def test_lines(self, text):
        """There are as many lines as without it, each one command with our properties alone."""
        lines = REPORTS["github"](infected(text)).splitlines()
        expected = REPORTS["github"](infected("x")).splitlines()
        assert [line.split(" ")[0] for line in expected] == [line.split(" ")[0] for line in lines]
        for line in lines:
            check_visible(line)
            properties = re.fullmatch(r"::(?:error|warning|notice) ([^:]*)::.*", line)
            assert properties
            assert {pair.split("=")[0] for pair in properties[1].split(",")} <= {"file", "line", "col", "title"}
            assert not re.search(r"%(?!25|3A|2C|0A)", line)

    def test_only_our_line_ends(self):
        """A line end in a message is shown, not made."""
        assert neutral.annotation_message("a\r\nb%0Ac") == "a\\r\\nb%250Ac"


class TestData:
    """json, yaml, sarif and junit can be read back, whatever is in them."""

    @pytest.mark.parametrize("text", ["1234567e8901", "0o17", "0x1f", "yes", "1_000", "12:30", "null", "2026-03-01"])
    @pytest.mark.parametrize("version", ["1.1", "1.2"])
    def test_texts_stay_texts(self, text, version):
        """Whichever YAML a reader speaks: the first digits of a commit are no number."""
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        read = reader.load(REPORTS["yaml"](infected(text)))
        assert read["verdicts"][0]["message"] == text

    @given(texts)
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_read_back(self, text):
        """Each parses; JSON and YAML carry the text itself, as far as it is Unicode."""
        judgement = infected(text)
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        data = json.loads(REPORTS["json"](judgement))
        assert data["verdicts"][0]["message"] == whole
        assert yaml.safe_load(REPORTS["yaml"](judgement)) == data
        log = json.loads(REPORTS["sarif"](judgement))
        assert len(log["runs"][0]["results"]) == len(judgement.verdicts)
        cases = etree.fromstring(REPORTS["junit"](judgement).encode()).iter("testcase")
        assert len(list(cases)) == len(judgement.verdicts)

    def test_sarif_messages(self):
        """No bracket makes a link and no brace a placeholder."""
        assert neutral.sarif_message("[a](1) {0} \\") == "\\[a\\](1) {{0}} \\\\"


class TestVisible:
    """What cannot be seen, or looks like something else."""

    @given(texts)
    @settings(max_examples=150, deadline=None)
    def test_every_letter_can_be_seen(self, text):
        """No control, format, private or unassigned character, and no line end, is left."""
        for shown in (neutral.visible(text), neutral.identifier(text), neutral.terminal(text), neutral.xml_text(text)):
            assert shown.isprintable()
            assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
        assert neutral.identifier(text).replace("…", "").isascii()

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("p\u0430yload", "p\\u0430yload"),
            ("docs/di\u0430gram.mmd", "docs/di\\u0430gram.mmd"),
            ("\uff41dmin", "\\uff41dmin"),
            ("ab\u202ecd", "ab\\u202ecd"),
            ("a\u200bb", "a\\u200bb"),
            ("a\nb", "a\\nb"),
            ("модель reader", "модель reader"),
            ("18 µs → 20 µs ≥ 19 µs", "18 µs → 20 µs ≥ 19 µs"),
            ("Prüfung für Zähler", "Prüfung für Zähler"),
        ],
    )
    def test_look_alikes(self, text, shown):
        """A word of two alphabets shows the foreign letters as escapes; a word of one stays."""
        assert neutral.visible(text) == shown

    def test_names_are_ascii(self):
        """In a name, every letter that is not ASCII is an escape."""
        assert neutral.identifier("модель") == "".join(f"\\u{ord(letter):04x}" for letter in "модель")


def test_a_long_comment_is_cut_between_lines():
    """Past the limit whole rows go; it says how many, and no fold, table or fence stays open."""
    many = [replace(ACCURACY, gate=f"gate-{number}", message="too low " * 60) for number in range(400)]
    made = moving("meter")
    rows = tuple(replace(made.rows[0], cohort=f"cohort-{number}") for number in range(2_000))
    comment = REPORTS["markdown"](replace(canary(*many), rows=rows))
    assert 40_000 < len(comment) <= LONGEST
    assert re.search(r"^\d+ more lines are not shown here", comment, re.MULTILINE)
    assert comment.count("<details>") == comment.count("</details>")
    assert comment.count("```") % 2 == 0
    assert [line for line in comment.splitlines() if line.startswith("|") and line.count("|") not in (4, 5)] == []
    check_comment(comment)


def test_a_verdict_without_section_is_shown():
    """A rule that no section is known of does not get lost."""
    odd = Verdict("other/rule", "x", "fail", "bad")
    for form, report in REPORTS.items():
        assert "bad" in report(canary(odd)), form
