"""A scratch repository of the example fleet with evidence, approvals and a ledger, and the package of one release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidences import evidence_files
from muster.apply.admissions import Admissions
from muster.apply.ledger import append
from muster.attest.keys import new_private_key, public_half
from muster.attest.package.export import export_package
from muster.forge.git.approvals import approvals_in, approve
from muster.kinds.pull_request import Approval
from muster.kinds.release import Release
from muster.observe.storage import open_storage, writing
from muster.review.packaging import gather_package
from muster.source.load import Loader
from scratch_repository import commit_all, git, repository_of, write

ROOT = Path(__file__).parents[1]
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
NAME = "meter-reader/1.2.0"
PATH = f"releases/{NAME}.yaml"
COUNTED = [("meter-reader", version) for version in ("1.0.0", "1.1.0", "1.2.0")]
APPROVER = "mara-fleet-example"


def key_yaml(name: str, key: bytes, use: str) -> str:
    """What declares a key in a repository."""
    pem = "".join(f"    {line}\n" for line in public_half(key).splitlines())
    head = f"apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: {name}\nspec:\n  uses: [{use}]\n"
    return f"{head}  publicKey: |\n{pem}"


class PackagedFleet:
    """`key` signs evidence and seals; 1.2.0 was declared first, then merged into a canary by an approved branch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.person, self.controller = new_private_key(), new_private_key(), new_private_key()
        self.repository = repository_of(folder, self._files())
        fleet = Loader().work_tree(folder).fleet_or_refuse("the example")
        self.release, self.older = (self._release(fleet, version) for version in ("1.2.0", "1.1.0"))
        git(folder, "checkout", "-q", "-b", "topic")
        made = evidence_files(self.release, self.older, self.key, AT - timedelta(days=1))
        widened = (folder / PATH).read_text().replace("canary: 0%", "canary: 5%")
        write(folder, {**made, PATH: widened})
        self.head = commit_all(folder, "widen to the canary")
        approve(self.repository, Approval(APPROVER, self.head, AT), self.person)
        git(folder, "checkout", "-q", "main")
        git(folder, "merge", "-q", "--no-ff", "-m", "merge topic", "topic")
        self.commit = self.repository.resolve("main")
        self.state = folder.parent / f"{folder.name}-state"
        self._record()

    def gather(self, name: str = NAME) -> dict[str, bytes]:
        """The primary members."""
        return gather_package(self.repository, "main", name, self.state, AT)

    def export(self) -> bytes:
        """The archive."""
        return export_package(self.gather(), self.key, approvals_in)

    def _files(self) -> dict[str, str | bytes]:
        files: dict[str, str | bytes] = {
            str(path.relative_to(ROOT)): path.read_bytes()
            for name in ("releases", "devices", "policies", "builders")
            for path in (ROOT / name).rglob("*")
            if path.suffix in (".yaml", ".lock") and "tests" not in path.parts[len(ROOT.parts) :]
            # The example may gain releases; these three are what tests count.
            if name != "releases" or (path.parent.name, path.stem) in COUNTED
        }
        owners = str(files["policies/owners.yaml"], "utf-8")  # type: ignore[arg-type]
        mara = f"    - login: {APPROVER}\n"
        assert mara in owners
        return files | {
            "policies/owners.yaml": owners.replace(mara, f"{mara}      approvalKeys: [mara]\n"),
            "policies/keys/lab.yaml": key_yaml("lab", self.key, "evidence"),
            "policies/keys/controller.yaml": key_yaml("controller", self.controller, "artifacts"),
            "policies/keys/mara.yaml": key_yaml("mara", self.person, "approvals"),
        }

    def _release(self, fleet: object, version: str) -> Release:
        found: Release | None = fleet.release(f"meter-reader/{version}")  # type: ignore[attr-defined]
        assert found is not None
        return found

    def _record(self) -> None:
        """Three events, of which the second is about another release; and the controller's own word."""
        word = Admissions(self.state / "admissions", self.controller).admit(self.release, AT)
        engine = open_storage(self.state)
        with writing(engine) as connection:
            for number, name in enumerate((NAME, "other/1.0.0", NAME)):
                append(connection, "prepared", f"prepared/{number}", {"release": name, "admission": word}, AT)
        engine.dispose()
