"""The story of a halt that git could not hear of, and of what people do afterwards, on a real controller.

Git, storage, published files and the tick are the real ones; the clock is a parameter, the devices are simulated. The
transcript is golden: run with `MUSTER_WRITE_GOLDEN=1` to write it anew, and read the difference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from controllers import EVERYONE, START, Scene
from fleets import MODEL, make_policy
from muster.apply import ledger
from muster.apply.by_hand import ByHand, resume_by_hand, suspend_by_hand
from muster.artifacts.store import Store
from muster.daemon import Controller
from muster.kinds.desired import Entry
from muster.kinds.errors import Refused
from muster.kinds.freeze import Freeze
from muster.kinds.moment import utc_text
from muster.kinds.policy import Policy
from muster.kinds.release import Release
from muster.observe.status import read_status
from muster.observe.storage import writing
from muster.review.promotion import Asked, plan_promotion
from muster.serve.field_view import FieldView
from muster.simulate.fleet import SimulatedDevice, SimulatedFleet
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.rollback import plan_rollback
from reporting_fleet import ReportingFleet
from scratch_repository import commit_all, git

GOLDEN = Path(__file__).with_name("halt_story.txt")
ADA = "Ada <ada@fleet.example>"
CANARY = {"canary": "100%", "fleet": "0%"}
# So many that all of the canaries together show that a release is no worse than the limit.
LIMIT, PER_CLASS, CANARIES = "25%", 16, 13
TOLD = ("suspended", "reverted", "lifted", "lapsed", "resumed")
FREEZE = Freeze.model_validate(
    {
        "metadata": {"name": "new-year"},
        "spec": {"effect": "deny", "cron": "0 0 1 1 *", "duration": "8h", "reason": "Nobody is there to look."},
    }
)


def dark_frames(device: SimulatedDevice, entry: Entry) -> str | None:
    """The artifact of 1.1.0, under whatever version, cannot read the frames of low-light cameras."""
    return "low_confidence" if entry.version in {"1.1.0", "1.1.2"} and device.device_class == "cam-lowlight" else None


@dataclass
class Story:
    """A fleet's repository, its controller, its devices; and what was said of them."""

    scene: Scene
    controller: Controller
    devices: ReportingFleet
    releases: dict[str, Release]
    told: int = 0
    lines: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, folder: Path) -> Story:
        scene = Scene.set(folder)
        policy = make_policy(limit=LIMIT).model_dump(mode="json", exclude_none=True, by_alias=True)
        policy["spec"]["tiers"][0] |= {"soak": "10m", "steps": ["25%", "100%"]}
        scene.declare("policies/default.yaml", Policy.model_validate(policy))
        devices = [
            SimulatedDevice(f"{name}-{number:03d}", name, {"ring": "canary"} if number < CANARIES else {})
            for name in ("cam-day", "cam-lowlight")
            for number in range(PER_CLASS)
        ]
        releases: dict[str, Release] = {}
        fleet = ReportingFleet(SimulatedFleet(MODEL, devices, dark_frames), releases)
        return cls(scene, scene.controller(), fleet, releases)

    @property
    def now(self) -> datetime:
        return self.scene.now

    def say(self, text: str) -> None:
        self.lines.append(text)

    def commit(self, message: str) -> None:
        commit_all(self.scene.repository, message)
        self.person(f"commit by Ada: {message}".replace("\n\n", " / "))

    def person(self, what: str) -> None:
        self.say(f"\n# {self.now:%H:%M:%S} {what}")

    def offer(self, version: str, shares: dict[str, str], subject: str, artifact_of: str | None = None) -> None:
        """A person's commit that declares a release; with `artifact_of`, the artifact of another version."""
        release = self.scene.release(version, shares)
        if artifact_of:
            same = self.releases[f"{MODEL}/{artifact_of}"]
            release = same.model_copy(
                update={
                    "metadata": release.metadata,
                    "spec": same.spec.model_copy(update={"rollout": release.spec.rollout}),
                }
            )
            self.scene.sign(release)
        self.releases[release.name] = release
        self.scene.declare(f"releases/{MODEL}/{version}.yaml", release)
        self.commit(subject)

    def tick(self, times: int = 1) -> None:
        """The daemon's tick, then every device polls and reports; half a minute passes."""
        for _ in range(times):
            before, at = self.devices_run, self.now
            done = self.controller.tick(self.now)
            assert done
            said = [line for line in self._happened() if line]
            failed = [f"not carried out: {type(one.action).__name__.lower()}: {one.reason}" for one in done.failed]
            waits = [
                f"waits: {w.subject}: {w.reason}; until {w.lifted_by}" for w in done.plan.waits if w.step == "hold"
            ]
            self.devices.poll(self.controller, self.now)
            self.scene.now += timedelta(seconds=30)
            after = self.devices_run
            lines = [*said, *failed, *waits, *([f"devices: {after}"] if after != before else [])]
            self.lines += [f"{at:%H:%M:%S} {line}" for line in lines or ["nothing to do"]]

    @property
    def devices_run(self) -> str:
        """How many devices of each class run what."""
        return self.devices.fleet.describe().replace("\n", "; ").replace(f"{MODEL}/", "")

    def _happened(self) -> list[str]:
        """New events of the ledger, in the words of this story."""
        with self.controller.engine.connect() as connection:
            new = [event for event in ledger.events(connection) if event.sequence > self.told]
        self.told = max([self.told, *(event.sequence for event in new)])
        return [_line(event.event, dict(event.body)) for event in new]

    def by_hand(self, command: str, *, release: str, why: str, until: datetime | None = None) -> None:
        """`muster suspend` or `muster resume`, with the same function that the verb's route calls."""
        asked = ByHand(f"{MODEL}/{release}", ADA, why)
        end = f" --until {utc_text(until)}" if until else ""
        self.person(f"muster {command} {asked.release}{end} --why '{why}' --by '{ADA}'")
        published = self.controller.publisher.published()
        try:
            with writing(self.controller.engine) as connection:
                if command == "suspend":
                    suspend_by_hand(connection, asked, until, published, self.now)
                else:
                    resume_by_hand(connection, asked, published, self.now, over_guardrail=False)
        except Refused as refused:
            self.say(f"refused: {refused.message}; {refused.hint}")

    def promote(self, release: str, why: str) -> None:
        """`muster promote`, judged by what the controller says of its field."""
        self.person(f"muster promote {MODEL}/{release} --why '{why}'")
        repository = Repository(self.scene.repository)
        store, patience = Store(self.scene.state / "store"), timedelta(minutes=5)
        field_state = FieldView(self.controller.engine, self.controller.publisher.published, store, patience)
        asked = Asked(f"{MODEL}/{release}", why, ADA, self.now)
        head = repository.resolve("main")
        planned = plan_promotion(repository, head, asked, field_state.state(self.now), Loader())
        refused = planned.refused_by(people_follow=False)
        self.lines += [f"refused: {verdict.rule}: {verdict.message}" for verdict in refused]
        if not refused:
            repository.advance(planned.commit, "main", head)
            self.say(f"commit by Ada: {planned.message.strip()}".replace("\n\n", " / "))

    def rollback(self, why: str) -> None:
        """`muster rollback`."""
        self.person(f"muster rollback {MODEL} --why '{why}'")
        repository = Repository(self.scene.repository)
        head = repository.resolve("main")
        planned = plan_rollback(repository, head, MODEL, version=None, to=None, why=why, author=ADA, at=self.now)
        repository.advance(planned.commit, "main", head)
        self.say(f"commit by Ada: {planned.message.splitlines()[0]}; takes back {', '.join(planned.releases)}")

    def verdicts(self, release: str) -> list[tuple[str, str]]:
        """(device class, outcome) of the last tick."""
        with self.controller.engine.connect() as connection:
            found = read_status(connection, "plan")["verdicts"]
        return [(one["deviceClass"], one["outcome"]) for one in found if one["release"] == f"{MODEL}/{release}"]


def _line(event: str, body: dict[str, Any]) -> str:
    if event == "published":
        return f"published generation {body['generation']}"
    if event == "decided" and body["outcome"] != "undecided":
        return _decision(body["record"])
    if event not in TOLD:
        return ""
    until = f" until {body['until']}" if body.get("until") else ""
    # The sentence of a halt stands in the decision above it.
    why = f" by {body['by']}: {body['reason']}" if body.get("by") else ""
    return f"{event} {body['release']}{until}{why}"


def _decision(said: dict[str, Any]) -> str:
    """A verdict on what is new; that 1.0.0 holds is no news."""
    if said["release"] == f"{MODEL}/1.0.0":
        return ""
    record = said["record"]
    sample = record["candidate"]
    numbers = f"{sample['failed']} of {sample['judged']} failed, limit {record['boundary']}"
    bounds = f"between {record['lower'] or 'open'} and {record['upper'] or 'open'}"
    return f"decided {said['release']} in {said['deviceClass']}: {said['outcome']}: {numbers} ({bounds})"


def halt_while_git_is_down(story: Story) -> None:
    """The suspension holds, and the commit follows; meanwhile somebody mended what was wrong."""
    repository = story.scene.repository
    away = story.scene.folder / "away"
    story.offer("1.0.0", EVERYONE, "1.0.0 for everyone")
    story.tick(2)
    story.offer("1.1.0", CANARY, "1.1.0 to its canary")
    story.tick(2)
    repository.rename(away)
    story.person("git cannot be reached any more")
    story.tick(2)
    story.by_hand("resume", release="1.1.0", why="it looked fine on my desk")
    away.rename(repository)
    story.offer("1.1.1", CANARY, "1.1.1 mends 1.1.0 (git can be reached again)")
    story.tick()
    assert git(repository, "log", "-1", "--format=%s") == 'Revert "1.1.0 to its canary"'
    story.tick(3)
    assert set(story.verdicts("1.1.1")) == {("cam-day", "no-worse"), ("cam-lowlight", "no-worse")}


def offer_it_again(story: Story) -> None:
    """Under another version it is on hold; named anew on purpose it is judged anew, and halted anew."""
    mended = story.devices_run
    story.offer("1.1.2", CANARY, "1.1.2 is the artifact of 1.1.0 once more", artifact_of="1.1.0")
    story.tick(2)
    assert story.devices_run == mended
    story.commit(f"Offer it again\n\nMuster-Offer-Again: {MODEL}/1.1.0")
    story.tick(5)
    assert story.devices_run == mended
    assert story.scene.repository.joinpath(f"releases/{MODEL}/1.1.1.yaml").exists()
    assert not story.scene.repository.joinpath(f"releases/{MODEL}/1.1.2.yaml").exists()


def override_by_hand(story: Story) -> None:
    """Suspended for a time, resumed before it was over, held up by a freeze, promoted, rolled back."""
    story.by_hand("suspend", release="1.1.1", why="smells of smoke", until=story.now + timedelta(hours=2))
    story.tick()
    story.by_hand("resume", release="1.1.1", why="it was the kettle")
    story.tick(3)
    story.scene.declare("policies/freezes/new-year.yaml", FREEZE)
    story.commit("Freeze the first day from 00:00 to 08:00")
    story.scene.now += timedelta(minutes=10)
    story.tick(2)
    story.promote("1.1.1", "both classes hold")
    story.scene.now = START + timedelta(hours=8)
    story.tick(2)
    story.promote("1.1.1", "both classes hold")
    story.tick(2)
    story.rollback("the summer release needs the room")
    story.tick(2)
    assert story.devices_run == f"cam-day: 1.0.0 ×{PER_CLASS}; cam-lowlight: 1.0.0 ×{PER_CLASS}"


def test_a_halt_while_git_is_down_and_what_people_do_afterwards(tmp_path: Path) -> None:
    """Each act ends as its people need it, and the transcript says why."""
    story = Story.begin(tmp_path)
    for act in (halt_while_git_is_down, offer_it_again, override_by_hand):
        act(story)
    transcript = "\n".join(story.lines).lstrip().replace(str(tmp_path), "<folder>") + "\n"
    if os.environ.get("MUSTER_WRITE_GOLDEN"):
        GOLDEN.write_text(transcript)
    assert GOLDEN.read_text() == transcript
    with story.controller.engine.connect() as connection:
        assert ledger.verify_chain(connection)
    story.controller.close()
