"""Question: one gate, asked about one release (on one device class). Answer: what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from muster.check.case import Case
from muster.check.gates.gate_kind import ON_CLASS, ON_REFERENCE, GateKind
from muster.check.gates.ground import Ground
from muster.check.gates.table import GATE_KINDS
from muster.check.verdict import Outcome
from muster.kinds.device_class import DeviceClass
from muster.kinds.policy import Gate, Tier
from muster.kinds.quantity import Measure, measure_of
from muster.kinds.release import Release


@dataclass(frozen=True)
class Answer:
    """`measured` is a text with its unit; `evidence` the path of the file that answered."""

    outcome: Outcome
    message: str
    hint: str = ""
    measured: str | None = None
    evidence: str | None = None

    def hinting(self, hint: str) -> Answer:
        """The same, with this hint where it has none and does not pass."""
        return self if self.hint or self.outcome == "pass" else replace(self, hint=hint)


@dataclass(frozen=True)
class Question:
    """A gate of the tier that `release` is held to, both from the base's policy."""

    ground: Ground
    release: Release
    tier: Tier
    gate: Gate
    device_class: str | None

    @property
    def case(self) -> Case:
        """The change with everything that it is judged on."""
        return self.ground.case

    @property
    def kind(self) -> GateKind:
        """What the table says of the gate's metric."""
        return GATE_KINDS[self.gate.metric]

    @property
    def artifact(self) -> str:
        """The digest that evidence must be about."""
        return self.release.spec.artifact.digest

    @property
    def threshold(self) -> Measure:
        """What the gate compares with."""
        return measure_of(self.gate.threshold)

    @property
    def max_age(self) -> int | None:
        """How old evidence may be, in µs: the gate's limit or the tier's, whichever is shorter."""
        limits = [limit for limit in (self.gate.max_age, self.tier.evidence_max_age) if limit is not None]
        return min(limits, default=None)

    @property
    def command(self) -> str:
        """What makes the evidence; empty where declarations answer."""
        template = self.kind.command
        if self.kind.timed and self.gate.relative_to in ("absolute", "budget"):
            template = ON_REFERENCE
        elif self.kind.answers and self.device_class is not None:
            template = ON_CLASS
        return template.format(path=self.release.path, device_class=self.device_class, threshold=self.gate.threshold)

    def declared_class(self, name: str) -> DeviceClass | None:
        """The class as it will be once the change is merged."""
        return self.ground.head_classes.get(name)

    def budget(self) -> Decimal | None:
        """The budget of the class, in µs or bytes; None if the class is not declared.

        As the base declares it: a change is not judged by budgets that it raises itself. The head counts for a class
        that is new.
        """
        assert self.device_class is not None
        assert self.kind.budget is not None
        found = self.ground.base_classes.get(self.device_class) or self.declared_class(self.device_class)
        return Decimal(getattr(found.spec.budgets, self.kind.budget)) if found else None


def quoted(text: str) -> str:
    """Somebody else's text, fit for a message: ASCII, on one line, short."""
    shown = ascii(text[:120])[1:-1]
    return f"'{shown}'" + ("…" if len(text) > 120 else "")


def visible(text: str) -> str:
    """A message in which nothing hides: the name of an evidence file is chosen by whoever proposes it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def undeclared_class(question: Question) -> Answer:
    """The answer where nothing is known of the device class."""
    name = question.device_class
    return Answer("inconclusive", f"device class {name} is not declared", f"declare devices/classes/{name}.yaml")
