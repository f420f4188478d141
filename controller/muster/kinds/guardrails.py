"""Guardrails: typed rules over field telemetry, and GUARDRAIL_KINDS, the one table of what each can be about.

Every metric is one figure per device, so that a device that answers a thousand frames a second counts once. The table
says what the figure is read from, of which shape it is, and which direction is worse:

- `share`: a device either shows it or not; judged is the share of devices that do.
- `mean`: a share that each device has of its own, 0 to 1; judged is the mean over devices, or with `quantile` a
  quantile of them.
- `quantile`: an amount without an end (a time, a size); judged is a quantile over devices, the median unless said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo

from muster.kinds.digest import ErrorCode, Name
from muster.kinds.ppm import PPM
from muster.kinds.quantity import Dimension, Percent, Threshold, format_percent, measure_of
from muster.kinds.resource import Declared

GuardrailMetric = Literal[
    "failure-share",
    "crash-share",
    "error-share",
    "delegate-inactive",
    "thermal-state",
    "p95-latency",
    "load-time",
    "peak-ram",
    "dropped-frames",
    "confidence",
    "confident-share",
    "fallback-frequency",
    "correction-share",
    "value",
]
"""What a guardrail can be about; `value` is a numeric key that the fleet declares."""

Shape = Literal["share", "mean", "quantile"]
Worse = Literal["more", "less"]
GuardrailSeverity = Literal["halt", "warn"]

MEDIAN: Final = PPM // 2


@dataclass(frozen=True)
class GuardrailKind:
    """One row of the table. `reads` names fields of a report; `phase` stands for how far the device came."""

    says: str
    reads: tuple[str, ...]
    shape: Shape
    dimension: Dimension = "number"
    worse: Worse = "more"


GUARDRAIL_KINDS: Final[Mapping[GuardrailMetric, GuardrailKind]] = MappingProxyType({
    "failure-share": GuardrailKind(
        "Devices that failed, rolled back by themselves, went dark, or fell silent in mid-update.", ("phase",), "share"
    ),
    "crash-share": GuardrailKind(
        "Devices on which the program ended unasked while it ran the release.", ("crashes",), "share"
    ),
    "error-share": GuardrailKind(
        "Devices that failed with an error code: with `errorCode` that one, else any.", ("phase", "error_code"), "share"
    ),
    "delegate-inactive": GuardrailKind(
        "Devices that compute on another provider than the declared one.", ("delegate_active",), "share"
    ),
    "thermal-state": GuardrailKind("Devices that are hot: serious or critical.", ("thermal_state",), "share"),
    "p95-latency": GuardrailKind("A device's 95th percentile of latency.", ("p95_ms",), "quantile", "time"),
    "load-time": GuardrailKind("The time in which a device loads the model.", ("load_time_ms",), "quantile", "time"),
    "peak-ram": GuardrailKind("The most memory that a device's program held.", ("peak_ram_mb",), "quantile", "size"),
    "dropped-frames": GuardrailKind(
        "A device's share of frames that nobody had time for.", ("dropped_frames", "inferences"), "mean"
    ),
    "confidence": GuardrailKind(
        "A device's mean confidence, from its histogram.", ("confidence_histogram",), "mean", worse="less"
    ),
    "confident-share": GuardrailKind(
        "A device's share of answers that reach the declared confidence.", ("confident_ppm",), "mean", worse="less"
    ),
    "fallback-frequency": GuardrailKind(
        "A device's share of inputs that its application answered by other means.", ("fallback_ppm",), "mean"
    ),
    "correction-share": GuardrailKind(
        "A device's share of outputs that people corrected, of those accepted or corrected.",
        ("accepted", "corrected"),
        "mean",
    ),
    "value": GuardrailKind("A numeric key that the fleet declares, named by `key`.", ("values",), "quantile"),
})  # fmt: skip


def _limit(value: Any, info: ValidationInfo) -> Any:
    # The program's own shares are parts per million, as everywhere.
    if info.mode == "python" and isinstance(value, int) and not isinstance(value, bool):
        return format_percent(value)
    return value


Limit = Annotated[Threshold, BeforeValidator(_limit)]


class Guardrail(Declared):
    """One typed rule over field telemetry, decided per stratum of each device class while a rollout runs.

    `limit` is a fixed bound: "5%" of devices, "40ms", "64MiB". `margin` is against the concurrent control, devices of
    the same stratum still on the superseded release: shares and quantiles may be worse by this part of the control's
    ("10%": 1.1 times), means by so many points ("0.5%"). With both, both must hold. `floor` is a share of devices that
    is no harm, however few show it in the control.

    `quantile` says which quantile over devices; `errorCode` and `key` say which code and which declared number is
    meant; `source` names the metric source that is asked, the built-in one unless said. `severity: warn` tells people,
    and stops nothing.
    """

    name: Name
    metric: GuardrailMetric
    limit: Limit | None = None
    margin: Percent | None = None
    floor: Percent | None = None
    quantile: Percent | None = None
    error_code: ErrorCode | None = None
    key: Name | None = None
    min_devices: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    severity: GuardrailSeverity = "halt"
    source: Name | None = None

    @property
    def kind(self) -> GuardrailKind:
        """Its row of the table."""
        return GUARDRAIL_KINDS[self.metric]

    @property
    def limit_ppm(self) -> int | None:
        """A limit that is a share, in parts per million; None without one, or if the limit is an amount."""
        if self.limit is None or self.kind.dimension != "number":
            return None
        measure = measure_of(self.limit)
        return int(measure.amount * PPM) if measure.dimension == "number" else None

    @property
    def quantile_ppm(self) -> int | None:
        """Which quantile is judged, in parts per million; None if it is a share or a mean."""
        if self.quantile is not None:
            return self.quantile
        return MEDIAN if self.kind.shape == "quantile" else None

    @property
    def reading(self) -> str:
        """What is counted for it, as tallies and metric sources name it: the metric, with its key if it has one."""
        return f"value/{self.key}" if self.metric == "value" else self.metric


class NumericKey(Declared):
    """A number that applications of the fleet report under `values`.

    `scale`: a `share` runs from 0 to 1, an `amount` from 0 to 10^15. Two per cent is how finely amounts are told apart.
    """

    name: Name
    scale: Literal["share", "amount"]
    worse: Worse = "more"


def kind_of(guardrail: Guardrail, keys: Collection[NumericKey]) -> GuardrailKind:
    """Its row of the table; for a declared number, as the declaration of its key says."""
    key = next((key for key in keys if guardrail.metric == "value" and key.name == guardrail.key), None)
    if key is None:
        return guardrail.kind
    return replace(guardrail.kind, shape="mean" if key.scale == "share" else "quantile", worse=key.worse)


class MetricSource(Declared):
    """Where a guardrail's counts come from, other than the controller's own: a Prometheus server that has them.

    `url` is its base. `tokenVariable` names an environment variable of the controller with a bearer token; the token
    itself is never in git.
    """

    name: Name
    prometheus: Annotated[
        str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\[\]:-]{1,253}(/[A-Za-z0-9._/-]{0,200})?$")
    ]
    token_variable: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")] | None = None
