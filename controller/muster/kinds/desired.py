"""Desired documents: what one device class should run of one model, as published to devices.

A document answers `desired(device) = f(document, device id, labels)` without the server knowing the device.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from muster.kinds.capture import MOST_PURPOSES, Capture
from muster.kinds.cohort import MOST_COHORTS, MOST_ENTRIES, Selector
from muster.kinds.device_class import Provider
from muster.kinds.digest import Commit, Digest, ExactVersion, Name, Version
from muster.kinds.drift import DriftRules
from muster.kinds.maintenance import MOST_WINDOWS, Disruption, MaintenanceWindow
from muster.kinds.quantity import Duration
from muster.kinds.release import Artifact, Salt
from muster.kinds.resource import AsTuple, Declared, Text

LIFE_SECONDS = "life_seconds"
"""Field of the signed timestamp: for how long after it was signed it is to be believed."""

Ppm = Annotated[int, Field(ge=0, le=1_000_000)]
Generation = Annotated[int, Field(ge=1, le=2**53 - 1)]


class OrderedCohort(Declared):
    """A device belongs to the first cohort of the document whose selector matches its labels."""

    name: Name
    selector: Selector


class Entry(Declared):
    """One release on offer. A device takes the first entry whose share of its cohort includes it.

    `since` is the generation at which the release came (back) into the document: a device that quarantined the
    artifact at an older generation tries it again. `log_predictions`: the application logs each answer, as the tier
    `regulated` asks for.
    """

    release: str
    version: Version
    since: Generation
    artifact: Artifact
    model_hash: Digest
    config_version: Digest
    runtime_version: ExactVersion
    provider: Provider
    health_window: Duration
    salt: Salt
    ppm: Annotated[dict[Name, Ppm], Field(max_length=MOST_COHORTS)]
    # Left out where it says nothing: agents of before do not know it.
    log_predictions: Annotated[bool, Field(exclude_if=lambda asked: not asked)] = False


class Halt(Declared):
    """A release that devices leave at once, with the reason."""

    release: str
    artifact: Digest
    reason: Text


def _absent(value: object) -> bool:
    return value is None or value == ()


class DesiredDocument(Declared):
    """Entries run from newest to oldest. Without `drift`, every device takes what is declared, whatever it runs.

    Without `maintenance` and `disruption`, a device switches as soon as it can. Without `capture`, it takes no sample.
    """

    api_version: Literal["muster/v1"] = "muster/v1"
    kind: Literal["DesiredDocument"] = "DesiredDocument"
    model: Name
    device_class: Name
    generation: Generation
    commit: Commit
    poll_interval: Duration
    cohorts: Annotated[tuple[OrderedCohort, ...], AsTuple, Field(max_length=MOST_COHORTS)]
    entries: Annotated[tuple[Entry, ...], AsTuple, Field(max_length=MOST_ENTRIES)]
    halted: Annotated[tuple[Halt, ...], AsTuple, Field(max_length=MOST_ENTRIES)] = ()
    # Left out where they say nothing: agents of before do not know them.
    drift: Annotated[DriftRules | None, Field(exclude_if=_absent)] = None
    maintenance: Annotated[
        tuple[MaintenanceWindow, ...], AsTuple, Field(max_length=MOST_WINDOWS, exclude_if=_absent)
    ] = ()
    disruption: Annotated[Disruption | None, Field(exclude_if=_absent)] = None
    capture: Annotated[tuple[Capture, ...], AsTuple, Field(max_length=MOST_PURPOSES, exclude_if=_absent)] = ()

    @property
    def target(self) -> str:
        """Its TUF target path."""
        return desired_target(self.model, self.device_class)


def desired_target(model: str, device_class: str) -> str:
    """TUF target path of a desired document."""
    return f"desired/{model}/{device_class}.json"


def artifact_target(digest: str) -> str:
    """TUF target path of an artifact."""
    return f"artifacts/{digest.removeprefix('sha256:')}.tar"


def signature_target(digest: str) -> str:
    """TUF target path of the signature over an artifact's files."""
    return f"artifacts/{digest.removeprefix('sha256:')}.sig"
