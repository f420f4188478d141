"""How large a model may be, and what may be in it. A value: whoever asks says what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Limits:
    """Counts that a model stays at or below.

    `fields` bounds what the parser allocates: an empty message is two bytes in the file and a hundred in memory.
    `depth` counts messages inside messages, `subgraphs` graphs inside graphs. `expanded` counts nodes once every
    function is written out where it is called. `elements` is per tensor, `parameters` for all tensors together;
    `listed` is the length of one attribute's list.
    """

    size: int = 2**31 - 1
    fields: int = 1_000_000
    depth: int = 24
    name: int = 1_024
    text: int = 65_536
    nodes: int = 20_000
    initializers: int = 20_000
    subgraphs: int = 0
    functions: int = 0
    expanded: int = 20_000
    arity: int = 1_024
    attributes: int = 64
    listed: int = 2**16
    rank: int = 16
    elements: int = 2**29
    parameters: int = 2**29
    opsets: int = 16


UNBOUNDED: Final = frozenset(
    (
        "Bernoulli",
        "ConstantOfShape",
        "Expand",
        "If",
        "ImageDecoder",
        "Loop",
        "Multinomial",
        "NonZero",
        "Optional",
        "OptionalGetElement",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Range",
        "RegexFullMatch",
        "Scan",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceMap",
        "SplitToSequence",
        "StringConcat",
        "StringNormalizer",
        "StringSplit",
        "TfIdfVectorizer",
        "Tile",
    )
)
"""Operators that hold graphs, draw random numbers, read texts, or make tensors of a size that no shape tells."""


@dataclass(frozen=True)
class External:
    """Data beside a model that a manifest lists: the folder, and per name the size in bytes."""

    folder: Path
    listed: Mapping[str, int]


@dataclass(frozen=True)
class Rules:
    """What is asked of a model. The default is what a build takes in.

    `runtimes`: versions of onnxruntime that must be able to load and run it. `domains`: those whose operators may be
    used, beside the model's own functions. `refused`: operators that are not taken although a runtime has them.
    """

    limits: Limits = field(default_factory=Limits)
    domains: frozenset[str] = frozenset({""})
    refused: frozenset[str] = UNBOUNDED
    runtimes: tuple[str, ...] = ()
    texts: bool = False
    sparse: bool = False
    external: External | None = None


WHATEVER_LOADS: Final = Rules(
    limits=Limits(subgraphs=8, functions=256),
    domains=frozenset({"", "ai.onnx.ml", "com.microsoft"}),
    refused=frozenset(),
    texts=True,
    sparse=True,
)
"""For looking at a model that nobody is going to run: bounds on size and shape, and none on what it computes."""
