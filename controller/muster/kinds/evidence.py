"""Evidence: a signed in-toto statement about one artifact digest, which gates read.

Files: `evidence/<artifact's 64 hex digits>/<name>.json`, each a sigstore bundle v0.3 with a DSSE envelope around an
in-toto Statement v1 whose subjects are artifact digests. `attest` checks the signature; here stands what it said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from muster.kinds.digest import Digest, Name
from muster.kinds.policy import GateMetric
from muster.kinds.quantity import Decimal
from muster.kinds.resource import AsTuple, Declared, Text

MEASUREMENT: Final = "muster:measurement/v1"
"""Numbers that somebody measured on an artifact: `Measurement`."""
PROVENANCE: Final = "https://slsa.dev/provenance/v1"
"""How an artifact was built (SLSA Provenance v1)."""
BUILD_TYPE: Final = "muster:build/v1"
"""`buildType` of provenance: whoever signs it made the artifact. Parameters: `docs/provenance.md`."""
REBUILD_TYPE: Final = "muster:build/v1#again"
"""`buildType` of a rebuilder's provenance: the same build, and whoever signs it did not make the artifact."""
REBUILD: Final = "muster:rebuild/v1"
"""Somebody built the artifact again and compared: `Rebuild`."""
REHEARSAL: Final = "muster:rehearsal/v1"
"""A release was promoted, halted and taken back, in a staging cohort or in the simulator: `Rehearsal`."""
TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
"""What became of the gates of a release (Test Result v0.1)."""
HARDWARE: Final = "https://in-toto.io/attestation/scai/v0.3"
"""On which hardware an artifact was measured and rebuilt (SCAI v0.3)."""
ADMISSION: Final = "https://in-toto.io/attestation/svr/v0.1"
"""What a verifier found to hold of an artifact (Simple Verification Result v0.1)."""
RELEASE_NAMES: Final = "https://in-toto.io/attestation/release/v0.1"
"""Which names and digests make up a release (Release v0.1)."""

LOG_LINES: Final = 200
"""Longest log of a rebuild."""
LARGEST: Final = 1024 * 1024
"""Largest evidence file that is read, in bytes."""


Where = Literal["native", "emulated", "reference-device"]
"""On the machine that measured, on a CPU that it emulated, or on a device of the class, by its agent."""

MOST_NODES: Final = 2_000
"""How many nodes the coverage of providers can name."""


class Ratio(Declared):
    """A value over its baseline's, both taken in turns in one run, with bounds of the ratio itself at `confidence`."""

    value: Decimal
    lower: Decimal | None = None
    upper: Decimal | None = None
    confidence: Decimal | None = None


class Baseline(Declared):
    """What a value is compared with: the same measurement of the source model, or of the superseded release.

    For shares of right answers, `both`, `only_this` and `only_baseline` count the frames that both, only this artifact,
    and only the baseline got right: a paired comparison has a far smaller sampling error. So has `ratio`, for times.
    """

    of: Literal["source", "superseded"]
    digest: Digest
    value: Decimal
    both: Annotated[int, Field(ge=0)] | None = None
    only_this: Annotated[int, Field(ge=0)] | None = None
    only_baseline: Annotated[int, Field(ge=0)] | None = None
    ratio: Ratio | None = None


class Result(Declared):
    """One number. Times are in µs, sizes in bytes, shares from 0 to 1, all as decimal strings.

    `samples` is how many independent observations stand behind `value`; `successes` how many of them hold, if the value
    is a share. `lower` and `upper` bound the value at `confidence`. `noise`, of times: by how much the medians of ten
    equal stretches of the run differ, as a share of the run's median.
    """

    metric: GateMetric
    value: Decimal
    device_class: Name | None = None
    slice: Name | None = None
    samples: Annotated[int, Field(ge=0)] | None = None
    successes: Annotated[int, Field(ge=0)] | None = None
    lower: Decimal | None = None
    upper: Decimal | None = None
    confidence: Decimal | None = None
    noise: Decimal | None = None
    baselines: Annotated[tuple[Baseline, ...], AsTuple, Field(max_length=2)] = ()


class Covered(Declared):
    """A node of the graph, as the runtime optimised it, and the provider that ran it."""

    node: Text
    operator: Text
    provider: Text


class Measurement(Declared):
    """Predicate of `MEASUREMENT`.

    Of `coverage`, nodes that another provider than the declared one ran come first, in case there are too many.
    """

    release: Text
    measured_at: Text
    harness: Text
    environment: Annotated[dict[Text, Text], Field(max_length=64)]
    snapshots: Annotated[dict[Text, Digest], Field(max_length=16)]
    results: Annotated[tuple[Result, ...], AsTuple, Field(min_length=1, max_length=1_000)]
    where: Where | None = None
    coverage: Annotated[tuple[Covered, ...], AsTuple, Field(max_length=MOST_NODES)] = ()


class Variation(Declared):
    """What a varied build came to: the pinned bytes, others, or none. `skipped`: this machine cannot vary that."""

    name: Text
    outcome: Literal["same", "different", "skipped", "failed"]
    reason: Text | None = None


class Rebuild(Declared):
    """Predicate of `REBUILD`. A `BAD` one counts, stays and blocks.

    `cpu` is what the arithmetic saw: `<architecture>/<vendor>/<family>/<model>`, or `<architecture>/emulated/<model>`;
    then `emulated_on` is the machine that emulated it. `lock`: the digest of the builder that it was asked of;
    `environment`: whether one made from that lock alone did it, or the rebuilder's `own`. `log`: what happened, line by
    line. `varied`: what it came to in other circumstances on the same machine, if that was tried; one that differs
    makes it `BAD`.
    """

    release: Text
    rebuilt_at: Text
    level: Literal["L1", "L2"]
    verdict: Literal["GOOD", "BAD", "UNKNOWN"]
    cpu: Text
    from_table: Literal["pinned", "calibrated"]
    emulated_on: Text | None = None
    lock: Digest | None = None
    environment: Literal["lock", "own"] | None = None
    log: Annotated[tuple[Text, ...], AsTuple, Field(max_length=LOG_LINES)] = ()
    varied: Annotated[tuple[Variation, ...], AsTuple, Field(max_length=32, exclude_if=lambda value: not value)] = ()


class Rehearsal(Declared):
    """Predicate of `REHEARSAL`: from `release` back to `back_to`, and whether the fleet came back."""

    release: Text
    back_to: Text
    rehearsed_at: Text
    where: Literal["simulator", "staging"]
    returned: bool
    expires_at: Annotated[Text | None, Field(exclude_if=lambda value: value is None)] = None
    """When whoever rehearsed says that it should be done again, however long the policy lets it count."""


@dataclass(frozen=True)
class Evidence:
    """One evidence file after its signature was looked at.

    `signer` names the SigningKey of the base (use `evidence`) whose signature holds. `problem` says why the file cannot
    be believed; then nothing else in here counts. `predicate` is plain JSON and still hostile in its values.
    """

    path: str
    subjects: tuple[str, ...]
    predicate_type: str
    predicate: Any
    made_at: datetime | None
    signer: str | None
    problem: str | None = None
    problem_kind: Literal["none", "foreign", "broken", "other-artifact"] = "none"

    @property
    def made_again(self) -> bool:
        """Whether this is provenance of a rebuild: whoever signed it did not make the artifact.

        Anything odd tells of a build: who made an artifact is not to be forgotten.
        """
        told = self.predicate.get("buildDefinition") if isinstance(self.predicate, dict) else None
        return self.predicate_type == PROVENANCE and isinstance(told, dict) and told.get("buildType") == REBUILD_TYPE

    @property
    def came_out_different(self) -> bool:
        """A rebuild by somebody trusted says BAD. Nothing else that it says takes that back."""
        believed = self.signer is not None and self.problem is None
        bad = isinstance(self.predicate, Mapping) and self.predicate.get("verdict") == "BAD"
        return believed and bad and self.predicate_type == REBUILD
