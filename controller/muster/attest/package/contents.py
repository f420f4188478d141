"""What lies in a package before anything is derived from it: the primary members, read strictly.

| member                      | holds                                                                        |
|-----------------------------|------------------------------------------------------------------------------|
| `package.json`              | which release, artifact and commit, as of when, and the commits of its history |
| `tree/<path>`               | files of the commit: release, classes, cohorts, policies, keys, lock, evidence |
| `git/<id>`                  | commits, trees and former release files, as git hashes them                    |
| `notes/approvals/<commit>`  | signed approvals, one a line                                                   |
| `notes/verdicts/<commit>`   | what a check wrote beside a commit: shown, and nobody's word                   |
| `reviews.json`              | reviews, as a forge told them, if one was asked                              |
| `controller/admission.json` | the controller's own word for the artifact, if its state folder was at hand    |
| `ledger.json`               | what the controller did with the release, if its ledger was at hand            |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from muster.attest.dsse import read_part
from muster.attest.evidence import read_evidence
from muster.attest.keyless import Keyless
from muster.attest.package.git_objects import Objects
from muster.attest.release_manifest import Known
from muster.attest.signers import TRUSTED_ROOT
from muster.kinds.digest import Commit, Digest, ReleaseName, digest_of, hex_of
from muster.kinds.errors import Refused
from muster.kinds.evidence import Evidence
from muster.kinds.fleet import AnyResource, Fleet
from muster.kinds.release import Release
from muster.source.layout import kind_at
from muster.source.validate import validate
from muster.source.yaml_events import YamlFault, parse

ABOUT: Final = "package.json"
LEDGER: Final = "ledger.json"
ADMITTED: Final = "controller/admission.json"
TREE: Final = "tree/"
OBJECTS: Final = "git/"
APPROVALS: Final = "notes/approvals/"
VERDICTS: Final = "notes/verdicts/"
FORMAT: Final = "muster:evidence-package/v1"
MOST_COMMITS: Final = 500
BESIDES: Final = "policies/tests/"
"""Files of a fleet that say nothing about a release: examples of changes."""

_HINT: Final = "export the package again with: muster evidence export"


class About(BaseModel):
    """`package.json`. `history` runs from the newest commit to the oldest."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

    format: Literal["muster:evidence-package/v1"] = FORMAT
    release: ReleaseName
    artifact: Digest
    commit: Commit
    at: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
    made_by: Annotated[str, StringConstraints(pattern=r"^muster [0-9A-Za-z.+!-]{1,64}$")]
    history: Annotated[list[Commit], Field(max_length=MOST_COMMITS)]

    @property
    def version(self) -> str:
        """The version of this program that made it."""
        return self.made_by.removeprefix("muster ")


@dataclass(frozen=True)
class Contents:
    """The primary members of a package; each part is read when it is asked for, and refused if it is not sound."""

    members: Mapping[str, bytes]

    @cached_property
    def about(self) -> About:
        """`package.json`. Raises `Refused`."""
        return read_part(About, self.member(ABOUT), "package description", _HINT)

    @cached_property
    def at(self) -> datetime:
        """The moment as of which everything is judged. Raises `Refused`."""
        try:
            return datetime.fromisoformat(self.about.at).astimezone(UTC)
        except ValueError as error:
            raise Refused(f"{self.about.at} is no moment", _HINT) from error

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Files of the commit by path."""
        return self.under(TREE)

    @cached_property
    def objects(self) -> Objects:
        """Git objects by id."""
        return Objects(self.under(OBJECTS))

    @cached_property
    def fleet(self) -> Fleet:
        """What these files declare, as a part of a fleet: references are not followed. Raises `Refused`."""
        return Fleet.of(
            (_resource(path, data) for path, data in self.files.items() if kind_at(path)), self.about.commit
        )

    @cached_property
    def release(self) -> Release:
        """The release that the package is about. Raises `Refused`."""
        release = self.fleet.release(self.about.release)
        if release is None or release.spec.artifact.digest != self.about.artifact:
            raise Refused(f"the package does not declare {self.about.release} with {self.about.artifact}", _HINT)
        return release

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Files of the commit that belong into the package and are not there. Raises `Refused`."""
        commit = self.about.commit
        named = (path for place in covered(self.release) for path in self.objects.below(commit, place, BESIDES))
        return tuple(sorted(path for path in named if path not in self.files))

    @cached_property
    def lock(self) -> bytes:
        """The builder's requirement list. Raises `Refused` if it is not the pinned one."""
        builder = self.release.spec.builder
        data = self.files.get(builder.lock, b"")
        if digest_of(data) != builder.digest:
            raise Refused(f"{builder.lock} is not the lock that {self.release.name} pins", _HINT)
        return data

    @cached_property
    def evidence(self) -> tuple[Evidence, ...]:
        """Every evidence file about the artifact, by the keys and identities that the fleet declares."""
        keys = self.fleet.signing_keys
        keyless = Keyless(self.fleet.identities_for("evidence"), self.files.get(TRUSTED_ROOT))
        return tuple(read_evidence(path, self.files[path], keys, keyless) for path in sorted(self.evidence_digests))

    @cached_property
    def evidence_digests(self) -> dict[str, str]:
        """Digests of the evidence files by path."""
        folder = f"evidence/{hex_of(self.release.spec.artifact.digest)}/"
        return {path: digest_of(data) for path, data in self.files.items() if path.startswith(folder)}

    @cached_property
    def policies(self) -> dict[str, str]:
        """Digests of the policy files by path."""
        wanted = {f"policies/{policy.metadata.name}.yaml" for policy in self.fleet.policies}
        return {path: digest_of(data) for path, data in self.files.items() if path in wanted}

    @property
    def known(self) -> Known:
        """The release with its evidence, as documents are made of it."""
        return Known(self.release, self.about.commit, self.evidence, self.evidence_digests, self.fleet.device_classes)

    def member(self, name: str) -> bytes:
        """One member. Raises `Refused` if it is missing."""
        if name not in self.members:
            raise Refused(f"the package holds no {name}", _HINT)
        return self.members[name]

    def under(self, folder: str) -> dict[str, bytes]:
        """The members below a folder, by the rest of their name."""
        return {
            name.removeprefix(folder): data for name, data in sorted(self.members.items()) if name.startswith(folder)
        }


def covered(release: Release) -> tuple[str, ...]:
    """Paths in a commit below which everything says something about a release: all of it belongs into its package.

    What is left out could be what speaks against the release: a bad rebuild, a freeze, a stricter policy.
    """
    return (
        f"releases/{release.model}",
        "devices",
        "policies",
        f"evidence/{hex_of(release.spec.artifact.digest)}",
        release.spec.builder.lock,
    )


def _resource(path: str, data: bytes) -> AnyResource:
    kind = kind_at(path)
    if kind is None:
        raise Refused(f"{path} declares nothing", _HINT)
    try:
        found = validate(path, kind, parse(data))
    except YamlFault as fault:
        raise Refused(f"{path}:{fault.spot[0]}:{fault.spot[1]}: {fault.message}", fault.hint) from fault
    if isinstance(found, list):
        raise Refused(f"{found[0].place}: {found[0].message}", found[0].hint)
    return found
