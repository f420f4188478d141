"""The judgement as data, for programs: camel case, always all keys, described by `schemas/judgement.json`."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from muster.check.change import Item, Kind, What
from muster.check.judgement import Direction, Judgement, Row
from muster.check.verdict import Outcome, Verdict
from muster.kinds.policy import Severity, TierName
from muster.kinds.quantity import format_percent
from muster.review.reports.words import Standing, place_of, standing

_NUMBER: Final = re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+)$")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _sound(text: object) -> object:
    """Text that every JSON parser takes: a lone surrogate, as in a path that is not UTF-8, becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_sound)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid")


class RequestData(_Data):
    """The pull request: full commit ids, and who asks. `forge` is empty where nobody vouched for the rest."""

    base: Text
    head: Text
    number: int | None
    author: Text | None
    title: Text
    forge: Text


class ItemData(_Data):
    """One thing that changes."""

    what: What
    kind: Kind
    name: Text
    path: Text
    details: tuple[Text, ...]


class ShareData(_Data):
    """A release on offer, and to how many of the cohort's devices: "5%" is 50000 ppm."""

    release: Text
    ppm: int
    percent: Text


class RowData(_Data):
    """What happens to one model on one device class in one cohort.

    `devices` is null where no controller was asked; then `download` is the bytes of one device, else of all.
    """

    model: Text
    device_class: Text
    cohort: Text
    tier: TierName
    direction: Direction
    now: tuple[ShareData, ...]
    then: tuple[ShareData, ...]
    moved_ppm: int
    devices: int | None
    download: int


class WaivedData(_Data):
    """The waiver that hides a verdict."""

    name: Text
    owner: Text
    reason: Text
    expires: Text


class VerdictData(_Data):
    """One verdict. `line` and `column` count from 1; 0 stands for the file as a whole."""

    section: Text
    rule: Text
    subject: Text
    gate: Text | None
    device_class: Text | None
    slice: Text | None
    tier: TierName | None
    severity: Severity
    outcome: Outcome
    standing: Standing
    message: Text
    hint: Text
    measured: Text | None
    threshold: Text | None
    evidence: Text | None
    lifts_at: Text | None
    file: Text | None
    line: int
    column: int
    waived: WaivedData | None


class ApprovalData(_Data):
    """An approval that the change needs."""

    what: Text
    by: tuple[Text, ...]
    count: int
    given: tuple[Text, ...]
    complete: bool


class JudgementData(_Data):
    """What `muster check -o json` writes about a change."""

    outcome: Literal["pass", "blocked", "no-change"]
    exit_code: Literal[0, 1]
    rollback: bool
    request: RequestData
    counts: dict[Standing, int]
    notes: tuple[Text, ...]
    changes: tuple[ItemData, ...]
    plan: tuple[RowData, ...]
    approvals: tuple[ApprovalData, ...]
    verdicts: tuple[VerdictData, ...]


def as_data(judgement: Judgement) -> dict[str, Any]:
    """The judgement as JSON values."""
    request = judgement.request
    standings = [standing(verdict) for verdict in judgement.verdicts]
    data = JudgementData(
        outcome=judgement.outcome,
        exit_code=1 if judgement.exit_code else 0,
        rollback=judgement.change.is_rollback,
        request=RequestData(
            base=request.base,
            head=request.head,
            number=request.number,
            author=request.author,
            title=request.title,
            forge=request.forge,
        ),
        counts={"blocks": 0, "warns": 0, "waived": 0, "pass": 0} | {name: standings.count(name) for name in standings},
        notes=judgement.notes,
        changes=tuple(map(_item, judgement.change.items)),
        plan=tuple(map(_row, judgement.rows)),
        approvals=tuple(
            ApprovalData(
                what=approval.what,
                by=approval.by,
                count=approval.count,
                given=approval.given,
                complete=approval.complete,
            )
            for approval in judgement.approvals
        ),
        verdicts=tuple(map(_verdict, judgement.verdicts)),
    )
    return data.model_dump(mode="python", by_alias=True)


def json_report(judgement: Judgement) -> str:
    """JSON in ASCII: whatever somebody wrote arrives as it was, and shows as an escape."""
    return json.dumps(as_data(judgement), indent=2) + "\n"


def yaml_report(judgement: Judgement) -> str:
    """The same as YAML."""
    import yaml

    # The emitter in C: a judgement may hold thousands of verdicts, and the others take a minute for these.
    dumper: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
    # Texts that newer readers than PyYAML take for numbers, such as the commit 1234567e8901.
    dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    data = json.loads(json_report(judgement))
    written = yaml.dump(data, Dumper=dumper, allow_unicode=False, width=1_000, sort_keys=False)
    return str(written)


def schema_text() -> str:
    """The file schemas/judgement.json."""
    generated = JudgementData.model_json_schema(by_alias=True, mode="serialization")
    head = {"$schema": DIALECT, "$id": "urn:muster:v1:judgement", "title": "Muster Judgement"}
    return json.dumps(head | {key: generated[key] for key in generated if key != "title"}, indent=2) + "\n"


def _item(item: Item) -> ItemData:
    return ItemData(what=item.what, kind=item.kind, name=item.name, path=item.path, details=item.details)


def _row(row: Row) -> RowData:
    return RowData(
        model=row.model,
        device_class=row.device_class,
        cohort=row.cohort,
        tier=row.tier,
        direction=row.direction,
        now=_shares(row.now),
        then=_shares(row.then),
        moved_ppm=row.moved_ppm,
        devices=row.devices,
        download=row.download,
    )


def _shares(on_offer: tuple[tuple[str, int], ...]) -> tuple[ShareData, ...]:
    return tuple(ShareData(release=name, ppm=ppm, percent=format_percent(ppm)) for name, ppm in on_offer)


def _verdict(verdict: Verdict) -> VerdictData:
    place, waived = place_of(verdict), verdict.waived
    return VerdictData(
        section=verdict.section,
        rule=verdict.rule,
        subject=verdict.subject,
        gate=verdict.gate,
        device_class=verdict.device_class,
        slice=verdict.slice,
        tier=verdict.tier,
        severity=verdict.severity,
        outcome=verdict.outcome,
        standing=standing(verdict),
        message=verdict.message,
        hint=verdict.hint,
        measured=verdict.measured,
        threshold=verdict.threshold,
        evidence=verdict.evidence,
        lifts_at=verdict.lifts_at,
        file=place.file if place else None,
        line=place.line if place else 0,
        column=place.column if place else 0,
        waived=waived
        and WaivedData(name=waived.name, owner=waived.owner, reason=waived.reason, expires=waived.expires),
    )
