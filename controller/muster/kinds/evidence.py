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


class Baseline(Declared):
    """What a value is compared with: the same measurement of the source model, or of the superseded release.

    For shares of right answers, `both`, `only_this` and `only_baseline` count the frames that both, only this artifact,
    and only the baseline got right: a paired comparison has a far smaller sampling error.
    """

    of: Literal["source", "superseded"]
    digest: Digest
    value: Decimal
    both: Annotated[int, Field(ge=0)] | None = None
    only_this: Annotated[int, Field(ge=0)] | None = None
    only_baseline: Annotated[int, Field(ge=0)] | None = None


class Result(Declared):
    """One number. Times are in µs, sizes in bytes, shares from 0 to 1, all as decimal strings.

    `samples` is how many independent observations stand behind `value`; `successes` how many of them hold, if the value
    is a share. `lower` and `upper` bound the value at `confidence`.
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
    baselines: Annotated[tuple[Baseline, ...], AsTuple, Field(max_length=2)] = ()


class Measurement(Declared):
    """Predicate of `MEASUREMENT`."""

    release: Text
    measured_at: Text
    harness: Text
    environment: Annotated[dict[Text, Text], Field(max_length=64)]
    snapshots: Annotated[dict[Text, Digest], Field(max_length=16)]
    results: Annotated[tuple[Result, ...], AsTuple, Field(min_length=1, max_length=1_000)]


class Rebuild(Declared):
    """Predicate of `REBUILD`. A `BAD` one counts, stays and blocks.

    `cpu` is what the arithmetic saw: `<architecture>/<vendor>/<family>/<model>`, or `<architecture>/emulated/<model>`;
    then `emulated_on` is the machine that emulated it. `lock`: the digest of the builder that it was asked of;
    `environment`: whether one made from that lock alone did it, or the rebuilder's `own`. `log`: what happened, line by
    line.
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


class Rehearsal(Declared):
    """Predicate of `REHEARSAL`: from `release` back to `back_to`, and whether the fleet came back."""

    release: Text
    back_to: Text
    rehearsed_at: Text
    where: Literal["simulator", "staging"]
    returned: bool


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
    def came_out_different(self) -> bool:
        """A rebuild by somebody trusted says BAD. Nothing else that it says takes that back."""
        believed = self.signer is not None and self.problem is None
        bad = isinstance(self.predicate, Mapping) and self.predicate.get("verdict") == "BAD"
        return believed and bad and self.predicate_type == REBUILD
