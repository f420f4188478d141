"""A small publishing set-up for tests, and a device's TUF client that reads the published folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from muster.apply.publish import PublishedArtifact, Publisher
from muster.apply.tuf_keys import TufKeys
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle
from muster.attest.artifact_files import files_of_bundle
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, Entry, OrderedCohort, artifact_target, desired_target
from muster.kinds.digest import digest_of
from muster.kinds.release import Artifact

NOW = datetime.now(UTC).replace(microsecond=0)
PRIVATE = new_private_key()
PUBLIC = public_half(PRIVATE)
STRANGER = new_private_key()
YEAR_OFF_LINE = 40
"""Versions of the root that a device missed which was off-line for a year."""


def artifact(folder: Path, version: str, private_key: bytes = PRIVATE) -> PublishedArtifact:
    """A signed artifact in `folder`, whose bytes depend on the version."""
    data = pack_bundle(
        {
            MODEL: f"model {version}".encode(),
            CONFIG: b"{}",
            MANIFEST: b"{}",
            GOLDEN_INPUTS: b"inputs",
            GOLDEN_EXPECTED: b"expected",
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / digest_of(data)[7:]
    path.write_bytes(data)
    return PublishedArtifact(path, digest_of(data), len(data), sign_files(files_of_bundle(data), private_key))


def entry(found: PublishedArtifact, version: str, since: int) -> Entry:
    files = files_of_bundle(found.path.read_bytes())
    return Entry(
        release=f"meter-reader/{version}",
        version=version,
        since=since,
        artifact=Artifact(digest=found.digest, size=found.size),
        model_hash=files[MODEL],
        config_version=files[CONFIG],
        runtime_version="1.31.1",
        provider="CPUExecutionProvider",
        health_window="30m",
        salt=f"meter-reader/{version}",
        ppm={"everyone": 1_000_000},
    )


def document(generation: int, *entries: Entry, device_class: str = "cam") -> DesiredDocument:
    return DesiredDocument(
        model="meter-reader",
        device_class=device_class,
        generation=generation,
        commit="a" * 40,
        poll_interval="5m",
        cohorts=(OrderedCohort(name="everyone", selector=Selector()),),
        entries=entries,
    )


@dataclass
class Site:
    """One controller's publishing: state on disk, and what a test publishes with one call."""

    folder: Path
    keys: TufKeys

    @classmethod
    def at(cls, folder: Path) -> Site:
        return cls(folder, TufKeys.create(folder / "keys"))

    @property
    def public(self) -> Path:
        return self.folder / "public"

    def publisher(self) -> Publisher:
        """As after a restart: nothing is remembered."""
        return Publisher(self.public, self.keys)

    def publish(self, generation: int, version: str, now: datetime = NOW) -> PublishedArtifact:
        """Publish one document with one release."""
        found = artifact(self.folder / "store", version)
        content = document(generation, entry(found, version, generation))
        self.publisher().publish(generation, [content], {found.digest: found}, [PUBLIC], now)
        return found


class FolderFetcher(FetcherInterface):
    """Answers `site://<path>` from a folder, as a static web server would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            return iter([(self._folder / url.removeprefix("site://")).read_bytes()])
        except FileNotFoundError as error:
            raise DownloadHTTPError(url, 404) from error


class Device:
    """A TUF client that keeps its metadata between polls, as an agent does."""

    def __init__(self, folder: Path, site: Site, bootstrap: bytes | None = None) -> None:
        self._folder = folder
        self._site = site
        self._bootstrap = bootstrap or (site.public / "metadata" / "1.root.json").read_bytes()
        (folder / "targets").mkdir(parents=True, exist_ok=True)

    def updater(self, at: datetime | None = None) -> Updater:
        updater = Updater(
            str(self._folder / "metadata"),
            "site://metadata/",
            str(self._folder / "targets"),
            "site://targets/",
            fetcher=FolderFetcher(self._site.public),
            bootstrap=self._bootstrap,
        )
        if at is not None:
            # python-tuf reads the clock when it is made, and offers no parameter.
            updater._trusted_set.reference_time = at
        return updater

    def poll(self, at: datetime | None = None) -> DesiredDocument:
        """Fetch the desired document and the artifact it names; raises what the client raises."""
        updater = self.updater(at)
        updater.refresh()
        content = Path(updater.download_target(_info(updater, desired_target("meter-reader", "cam")))).read_bytes()
        found = DesiredDocument.model_validate_json(content)
        for offered in found.entries:
            tar = Path(updater.download_target(_info(updater, artifact_target(offered.artifact.digest))))
            assert offered.artifact.digest == digest_of(tar.read_bytes())
        return found


def _info(updater: Updater, path: str):
    info = updater.get_targetinfo(path)
    assert info is not None, f"{path} is not published"
    return info
