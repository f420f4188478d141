"""Where the verdicts stand: pointers into declared documents become lines and columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from muster.check.references import KEY
from muster.check.verdict import Verdict
from muster.kinds.finding import Place, Pointer
from muster.source.git import Repository
from muster.source.layout import is_yaml, leaves_the_tree
from muster.source.yaml_events import MAX_BYTES, Document, YamlFault, parse


def placed(verdicts: Iterable[Verdict], repository: Repository, tree: str) -> tuple[Verdict, ...]:
    """The verdicts with their places. Only files that a verdict points into are read."""
    verdicts = tuple(verdicts)
    pointers = [verdict.where for verdict in verdicts if verdict.where and verdict.where.path and not verdict.place]
    files = sorted(
        {pointer.file for pointer in pointers if is_yaml(pointer.file) and not leaves_the_tree(pointer.file)}
    )
    entries = repository.tree(tree, files) if files else ()
    chosen = [entry for entry in entries if entry.mode.startswith("100") and entry.size <= MAX_BYTES]
    contents = repository.blobs(entry.blob for entry in chosen)
    documents = {entry.path: _parsed(contents[entry.blob]) for entry in chosen}
    return tuple(
        replace(verdict, place=_place(verdict.where, documents)) if verdict.where and not verdict.place else verdict
        for verdict in verdicts
    )


def _parsed(data: bytes) -> Document | None:
    try:
        return parse(data)
    except YamlFault:
        return None


def _place(pointer: Pointer, documents: dict[str, Document | None]) -> Place:
    document = documents.get(pointer.file)
    if document is None or not pointer.path:
        return Place(pointer.file)
    if pointer.path[-1] == KEY:
        return Place(pointer.file, *document.key_spot(pointer.path[:-1]))
    return Place(pointer.file, *document.spot(pointer.path))
