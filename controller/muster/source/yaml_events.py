"""YAML text to plain data, with the place of every key and value.

Rules it keeps:
- One document of mappings with string keys, sequences and scalars. Anchors, aliases, tags, merge keys, directives,
  duplicate keys and several documents are refused: a reviewer reads the same text once, and it means one thing.
- Plain scalars follow YAML 1.2's core schema, narrowed: `null`, `~`, `true`, `false`, decimal integers and decimal
  floats. Everything else is a string: `yes`, `on`, `1_000`, `12:30`, `0o17`, `0x1f`, `007`, dates.
- Bounded and without recursion: at most 1 MiB, 32 levels and 100,000 events.
- Characters that an editor does not show (controls, direction overrides) are refused wherever they stand.

PyYAML's event stream is used for it: it is ten times faster than composing a commented tree, and every event has its
place. ruamel.yaml does the edits that must keep comments (`edit.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_EVENTS = 100_000

Path = tuple[str | int, ...]
Spot = tuple[int, int]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Control characters apart from tab and line break, lone carriage returns, separators and direction overrides.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|\r(?!\n)"
)
# Whatever is not text begins with one of these.
_FIRST = frozenset("~nNtTfF+-.0123456789")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# Part of libyaml's message (and of PyYAML's own parser, where it says it otherwise) → what would be right.
_SYNTAX_HINTS = {
    "mapping values are not allowed": "put the text in quotes if it holds a colon; else indent like the line above",
    "cannot start any token": "indent with spaces, and put text that begins with @, % or ` in quotes",
    "a tab character": "indent with spaces",
    "did not find expected key": "indent all keys of one level alike, and let nothing follow a closing quote",
    "<block end>": "indent everything of one level alike, and let nothing follow a closing quote",
    "could not find expected ':'": "write `name: value`, with a space after the colon",
    "sequence entries are not allowed": "put the list on the lines below, or the text in quotes",
    "expected '-' indicator": "begin every item of the list with a hyphen, or indent the key less",
    "',' or ']'": "close the list with ]",
    "',' or '}'": "close the fields with }",
    "unexpected end of stream": "close the text with the quote it began with",
    "unknown escape character": "write a backslash twice, or put the text in single quotes",
    "invalid Unicode character escape": "write the character itself",
    "node content": "put the text in quotes: it begins with a sign that YAML reserves",
    "alphabetic or numeric character": "put the text in quotes: it begins with a sign that YAML reserves",
    "comment or line break": "begin the text on the line below",
}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")


class YamlFault(Exception):
    """Why a text is refused, and where; line and column count from 1."""

    def __init__(self, spot: Spot, rule: str, message: str, hint: str) -> None:
        super().__init__(message[:300])
        self.spot, self.rule, self.message, self.hint = spot, rule, message[:300], hint[:300]


@dataclass
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where its parts stand."""

    text: str
    data: Any = None
    values: dict[Path, Spot] = field(default_factory=dict)
    keys: dict[Path, Spot] = field(default_factory=dict)

    def spot(self, path: Path) -> Spot:
        """Where the value stands, or the nearest thing around it that is there."""
        for length in range(len(path), -1, -1):
            if found := self.values.get(path[:length]):
                return found if length == len(path) or length == 0 else self.key_spot(path[:length])
        return (1, 1)

    def key_spot(self, path: Path) -> Spot:
        """Where the key of this value stands; for an item of a list, the item."""
        return self.keys.get(path) or self.spot(path)

    def written(self, path: Path) -> str:
        """The scalar as written, up to the end of its line or a comment."""
        line, column = self.spot(path)
        rest = self.text.split("\n")[line - 1][column - 1 :]
        return re.split(r"\s#|[,\]}]|$", rest, maxsplit=1)[0].strip()[:80]


@dataclass
class _Open:
    """A mapping or sequence that is being filled; `key` waits for its value."""

    path: Path
    content: dict[str, Any] | list[Any]
    key: str | None = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.content, dict) and self.key is None


def parse(data: bytes) -> Document:
    """Read one document. Raises `YamlFault`."""
    if len(data) > MAX_BYTES:
        raise YamlFault((0, 0), "too-large", f"the file has {len(data)} bytes", f"keep it under {MAX_BYTES} bytes")
    text = _decode(data)
    document = Document(text)
    builder = _Builder(document)
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise _syntax_fault(error) from error
    except yaml.YAMLError as error:
        raise YamlFault((1, 1), "syntax", f"not YAML: {error}"[:300], "correct the syntax") from error
    if not builder.done:
        raise YamlFault((1, 1), "empty", "the file declares nothing", "write apiVersion, kind, metadata and spec")
    return document


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        raise YamlFault(
            _spot_at(before, len(before)),
            "encoding",
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            "save it as UTF-8",
        ) from error
    text = text.removeprefix("\ufeff")
    if hidden := _HIDDEN.search(text):
        raise YamlFault(
            _spot_at(text, hidden.start()),
            "hidden-character",
            f"the character U+{ord(hidden[0][0]):04X} does not show in an editor",
            "delete it",
        )
    return text


def _spot_at(text: str, index: int) -> Spot:
    return (text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _events(text: str) -> Iterator[yaml.Event]:
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if count > MAX_EVENTS:
            raise YamlFault(_start(event), "too-large", f"more than {MAX_EVENTS} values", "split what is declared here")
        yield event


def _start(event: yaml.Event) -> Spot:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Builder:
    """Puts events together, keeping the open containers on a list instead of the call stack."""

    def __init__(self, document: Document) -> None:
        self.document = document
        # Only an escape can bring in a character that the text itself was searched for already.
        self.escapes = "\\" in document.text
        self.open: list[_Open] = []
        self.done = False

    def take(self, event: yaml.Event) -> None:
        """Add one event."""
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_decoration(event)
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._refuse_decoration(event)
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise YamlFault(_start(event), "alias", f"alias *{event.anchor}", "write the value out")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._document(event)

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        if self.done:
            raise YamlFault(_start(event), "documents", "a second document", "one file declares one resource")
        if event.tags or event.version not in (None, (1, 2)):
            raise YamlFault(_start(event), "directive", "a YAML directive", "delete the lines that begin with %")

    def _refuse_decoration(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            raise YamlFault(_start(event), "alias", f"anchor &{event.anchor}", "write the value out where it is used")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise YamlFault(_start(event), "tag", f"tag {tag}"[:100], "delete the tag; quote the value to make it text")

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        if self.open and self.open[-1].wants_key:
            raise YamlFault(_start(event), "key", "a key that is not text", "write a name before the colon")
        if len(self.open) >= MAX_DEPTH:
            raise YamlFault(_start(event), "too-deep", f"more than {MAX_DEPTH} levels", "declare it flatter")
        content: dict[str, Any] | list[Any] = {} if mapping else []
        self.open.append(_Open(self._put(content, _start(event)), content))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        spot = _start(event)
        if self.escapes and _HIDDEN.search(event.value):
            raise YamlFault(spot, "hidden-character", "an escape makes a control character", "delete the escape")
        parent = self.open[-1] if self.open else None
        if parent and parent.wants_key:
            self._key(parent, event, spot)
        else:
            self._put(_resolve(event.value) if event.implicit[0] else event.value, spot)

    def _key(self, parent: _Open, event: yaml.ScalarEvent, spot: Spot) -> None:
        key = event.value
        assert isinstance(parent.content, dict)
        if event.implicit[0] and key == "<<":
            raise YamlFault(spot, "alias", "a merge key <<", "write the fields out")
        if event.implicit[0] and not isinstance(_resolve(key), str):
            raise YamlFault(spot, "key", f"the key {key!r} is not text"[:100], f'write it in quotes: "{key}"'[:100])
        path = (*parent.path, key)
        if key in parent.content:
            first = self.document.keys[path]
            raise YamlFault(
                spot,
                "duplicate-key",
                f"the key {key!r} stands here again"[:200],
                f"keep one; the first is in line {first[0]}",
            )
        parent.key = key
        self.document.keys[path] = spot

    def _put(self, value: Any, spot: Spot) -> Path:
        """Add a value to what is open; its path."""
        path: Path = ()
        if not self.open:
            self.document.data, self.done = value, True
        else:
            parent = self.open[-1]
            if isinstance(parent.content, dict):
                assert parent.key is not None
                path = (*parent.path, parent.key)
                parent.content[parent.key] = value
                parent.key = None
            else:
                path = (*parent.path, len(parent.content))
                parent.content.append(value)
        self.document.values[path] = spot
        return path


def _resolve(text: str) -> Any:
    if text and text[0] not in _FIRST:
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if len(text) <= 64 and _FLOAT.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _syntax_fault(error: yaml.MarkedYAMLError) -> YamlFault:
    mark = error.problem_mark or error.context_mark
    spot = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = " ".join(part for part in (error.context, error.problem) if part)
    hint = next((hint for part, hint in _SYNTAX_HINTS.items() if part in problem), "correct the syntax here")
    return YamlFault(spot, "syntax", f"not YAML: {problem}"[:300], hint)
