"""Playbooks: Markdown in one fixed structure, so that nobody has to look for the next step at night.

# Title
Error codes: `load_failed`, `load_crashed`        or: Error codes: none
## Symptom
## Impact
## Immediate mitigations
## Diagnostics                                     commands in ```console, and: Log keys: `phase`, `error_code`
## Root-cause candidates
## Resolution
## Post-incident actions
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from muster.check.documents.readable import Bounds, first_few, foreign_letter, named, objections
from muster.kinds.finding import Finding, Place

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BOUNDS = Bounds(characters=128 * 1024, lines=2_000, columns=1_000)

SECTIONS = (
    "Symptom",
    "Impact",
    "Immediate mitigations",
    "Diagnostics",
    "Root-cause candidates",
    "Resolution",
    "Post-incident actions",
)

_NAMES = re.compile(r"`([a-z0-9_]{1,64})`(?:, ?(?=`)|\.?$)")
_LISTED = re.compile(r"`[a-z0-9_]{1,64}`(?:, ?`[a-z0-9_]{1,64}`)*\.?")
_MARKS = re.compile(r"`+")
_TAG = re.compile(r"<[A-Za-z/!?]")
_ERROR_CODES = "Error codes: "
_LOG_KEYS = "Log keys: "


@dataclass(frozen=True)
class Playbook:
    """`commands` are (line, command) of the console blocks in Diagnostics; `codes_line` is where the codes stand."""

    title: str = ""
    error_codes: tuple[str, ...] = ()
    codes_line: int = 0
    commands: tuple[tuple[int, str], ...] = ()
    log_keys: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Block:
    """One block of Markdown. `nested`: inside a list or a quote; `quoted`: inside a quote."""

    kind: str
    text: str
    line: int
    level: int = 0
    nested: bool = False
    quoted: bool = False


def read_playbook(path: str, text: str) -> Playbook:
    """What the playbook says, and every complaint about its structure (20 at most)."""
    refused = first_few(objections(path, text, BOUNDS))
    if refused:
        return Playbook(findings=refused)
    reader = _Reader(path, blocks_of(text))
    playbook = reader.read()
    foreign = foreign_letter(text)
    if foreign is not None:
        line = text.count("\n", 0, text.index(foreign)) + 1
        reader.complain(line, f"the letter {named(foreign)} is not a Latin one", "write Latin letters", "look-alike")
    return replace(playbook, findings=first_few(iter(reader.findings)))


@cache
def log_keys() -> frozenset[str]:
    """What a device says, by the fixed keys of telemetry."""
    from muster.kinds.telemetry import Report

    return frozenset(Report.model_fields)


def said(text: str) -> tuple[str, ...]:
    """What a playbook says, without comments and white space: two that are equal here read the same."""
    blocks = blocks_of(text)
    return tuple("".join((block.kind, str(block.level), *block.text.split())) for block in blocks if block.text)


def blocks_of(text: str) -> list[Block]:
    """The blocks of a Markdown text, in order. HTML is a block of its own; comments have no text."""
    tokens = _parser().parse(text)
    found, quotes = [], 0
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("blockquote_open", "blockquote_close"):
            quotes += token.nesting
        elif token.map is not None and token.type in _KINDS:
            found.append(_block(before, token, token.map[0] + 1, quoted=quotes > 0))
    return found


_KINDS = {"inline": "paragraph", "fence": "fence", "code_block": "code", "html_block": "html"}


def without_code(text: str) -> str:
    """The text of a paragraph with a single mark in place of each piece of code. Costs its length only."""
    runs = [match.span() for match in _MARKS.finditer(text)]
    newest: dict[int, int] = {}
    closes: dict[int, int] = {}
    for start, end in reversed(runs):
        closes[start] = newest.get(end - start, -1)
        newest[end - start] = end
    parts, at = [], 0
    for start, _ in runs:
        if start >= at and closes[start] >= 0 and text[start - 1 : start] != "\\":
            parts += [text[at:start], "`"]
            at = closes[start]
    return "".join([*parts, text[at:]])


def _parser() -> MarkdownIt:
    # Most changes touch no document, and never load what reads one.
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    # What stands inside a paragraph is never rendered here, and is what takes long on hostile text.
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _block(before: Token | None, token: Token, line: int, *, quoted: bool) -> Block:
    kind, level, text = _KINDS[token.type], 0, token.content
    if before is not None and before.type == "heading_open":
        kind, level = "heading", int(before.tag[1:])
    if token.type == "fence":
        kind = "console" if token.info.strip() == "console" else "fence"
    if kind == "html" and re.fullmatch(r"\s*<!--(?:(?!-->).)*-->\s*", text, re.DOTALL):
        text = ""
    nested = token.level > (1 if token.type == "inline" else 0)
    return Block(kind, text, line, level, nested, quoted)


class _Reader:
    def __init__(self, path: str, blocks: list[Block]) -> None:
        self.findings: list[Finding] = []
        self._path = path
        self._blocks = blocks

    def complain(self, line: int, message: str, hint: str, rule: str = "playbook") -> None:
        self.findings.append(Finding(Place(self._path, line, 1), rule, message, hint))

    def read(self) -> Playbook:
        for block in self._blocks:
            inline = block.kind == "paragraph" and _TAG.search(without_code(block.text))
            if inline or (block.kind == "html" and block.text):
                self.complain(block.line, "HTML in a playbook", "write Markdown")
        blocks = [block for block in self._blocks if block.kind != "html"]
        title = ""
        if blocks and (blocks[0].kind, blocks[0].level, blocks[0].nested) == ("heading", 1, False):
            title = " ".join(blocks.pop(0).text.split())
        else:
            self.complain(1, "the playbook has no title", "begin with `# ` and what went wrong")
        codes_line, codes = self._listed(blocks[0] if blocks else None, _ERROR_CODES)
        sections = self._sections(blocks)
        diagnostics = sections.get("Diagnostics", [])
        commands = self._commands(diagnostics) if diagnostics else ()
        keys = self._log_keys(diagnostics) if diagnostics else ()
        return Playbook(title, codes, codes_line, commands, keys)

    def _listed(self, block: Block | None, key: str) -> tuple[int, tuple[str, ...]]:
        """The names that a line lists in code marks. `none` is a list, too."""
        line = block.line if block else 1
        text = " ".join(block.text.split()) if block and block.kind == "paragraph" and not block.nested else ""
        rest = text.removeprefix(key)
        if rest == text or not (_LISTED.fullmatch(rest) or rest.rstrip(".") == "none"):
            self.complain(
                line, f"no line `{key.strip()}` stands here", f"write `{key}` and names in code marks, or none"
            )
            return line, ()
        names = tuple(_NAMES.findall(rest))
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.complain(line, f"{name} is listed twice", "list each name once")
        return line, names

    def _sections(self, blocks: list[Block]) -> dict[str, list[Block]]:
        """Blocks by section, and complaints about what is missing, twice, in another order, unknown or empty."""
        sections: dict[str, list[Block]] = {}
        current: list[Block] | None = None
        lines: dict[str, int] = {}
        for block in blocks:
            if block.kind == "heading" and (block.level <= 2 or block.nested):
                current = []
                self._heading(block, sections, lines, current)
            elif current is not None:
                current.append(block)
        missing = [name for name in SECTIONS if name not in sections]
        for name in missing:
            self.complain(1, f"the section {name} is missing", f"add `## {name}`; sections: {', '.join(SECTIONS)}")
        if not missing and tuple(sections) != SECTIONS:
            name = next(name for name, right in zip(sections, SECTIONS, strict=True) if name != right)
            self.complain(lines[name], f"the section {name} stands too early", f"order: {', '.join(SECTIONS)}")
        for name, content in sections.items():
            if not any(block.text.strip() and block.kind != "heading" for block in content):
                self.complain(lines[name], f"the section {name} is empty", "say what to do; if nothing, say why")
        return sections

    def _heading(
        self, block: Block, sections: dict[str, list[Block]], lines: dict[str, int], content: list[Block]
    ) -> None:
        name = " ".join(block.text.split())
        if block.level != 2 or block.nested or name not in SECTIONS:
            shown = name if len(name) <= 60 else name[:59] + "…"
            self.complain(block.line, f'"{shown}" is no section of a playbook', f"sections: {', '.join(SECTIONS)}")
        elif name in sections:
            self.complain(block.line, f"the section {name} stands here again", "keep one")
        else:
            sections[name], lines[name] = content, block.line

    def _commands(self, blocks: list[Block]) -> tuple[tuple[int, str], ...]:
        found = [
            (block.line + offset, line[2:].strip())
            for block in blocks
            if block.kind == "console"
            for offset, line in enumerate(block.text.split("\n"), 1)
            if line.startswith("$ ") and line[2:].strip()
        ]
        if not found:
            self.complain(blocks[0].line, "Diagnostics has no command", "add a ```console block with lines `$ command`")
        return tuple(found)

    def _log_keys(self, blocks: list[Block]) -> tuple[str, ...]:
        block = next((one for one in blocks if one.kind == "paragraph" and one.text.startswith(_LOG_KEYS)), None)
        line, keys = self._listed(block, _LOG_KEYS) if block else (blocks[0].line, ())
        if not keys:
            self.complain(line, "Diagnostics names no log keys", f"add a line `{_LOG_KEYS}` with keys in code marks")
        for key in keys:
            if key not in log_keys():
                known = ", ".join(sorted(log_keys()))
                self.complain(line, f"{key} is no key of telemetry", f"keys: {known}")
        return keys
