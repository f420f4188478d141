"""The executor: carries a plan out, step by step, without choices.

Every step may be cut off anywhere and carried out again: the storage is changed in transactions, files are replaced
whole, commits depend on their inputs alone, and an event enters the ledger under its key once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine

from muster.apply import holds, ledger, suspensions
from muster.apply.admissions import Admissions
from muster.apply.advance import Advancer
from muster.apply.alerts.making import Ground
from muster.apply.alerts.telling import Telling
from muster.apply.builds import Builds
from muster.apply.key_uses import KeyUses
from muster.apply.prepare import Prepared
from muster.apply.publish import PublishedArtifact, Publisher
from muster.apply.revert import Reverter
from muster.artifacts.store import DamagedObject, MissingObject, Store
from muster.attest.artifact_files import digest_of_file
from muster.kinds.errors import MusterError, TryAgain, Unusable
from muster.kinds.fleet import Fleet
from muster.kinds.hold import hold_of
from muster.kinds.release import Release
from muster.observe.storage import writing
from muster.observe.tallies import keep_offers
from muster.plan.advance import Advance
from muster.plan.describe import as_json
from muster.plan.lapse import Lapse
from muster.plan.planner import Action, Lift, Plan, Prepare, Publish, Revert, Suspend, signs_for
from muster.plan.proposals import Proposal, Withdraw, revert_branch
from muster.plan.world import GUARDRAIL, Suspension
from muster.source.git import Repository


@dataclass(frozen=True)
class Failed:
    """A step that could not be carried out now; the next tick plans it again."""

    action: Action
    reason: str
    hint: str | None


@dataclass(frozen=True)
class Executor:
    """What steps act on."""

    engine: Engine
    repository: Repository
    reverter: Reverter
    advancer: Advancer
    store: Store
    prepared: Prepared
    admissions: Admissions
    publisher: Publisher
    builds: Builds
    key_uses: KeyUses
    telling: Telling
    signer: str
    """Public half (PEM) of the key that `prepared` signs with."""
    build: Callable[[Release, bytes, bytes], None]
    damaged: set[str] = field(default_factory=set)
    """Digests of artifacts that were found altered or gone since the start."""

    def execute(self, plan: Plan, fleet: Fleet, now: datetime) -> tuple[Failed, ...]:
        """Carry out every step. One that fails does not keep the others from being tried."""
        failed = []
        for action in plan.actions:
            try:
                self._carry_out(action, plan, fleet, now)
            except MusterError as error:
                failed.append(Failed(action, error.message, error.hint))
                if isinstance(action, Revert):
                    # Told at the next tick if the storage refuses now: the revert fails again then.
                    with contextlib.suppress(TryAgain):
                        self._tell_held_up(action.release, fleet, error, now)
        return tuple(failed)

    def _carry_out(self, action: Action, plan: Plan, fleet: Fleet, now: datetime) -> None:
        match action:
            case Lapse():
                self._lapse(action, plan, now)
            case Suspend():
                self._suspend(action, plan, fleet, now)
            case Publish():
                self._publish(action, fleet, now)
            case Revert():
                self._revert(action, plan, fleet, now)
            case Withdraw():
                self.advancer.proposals.withdraw(action.branch, action.reason, now)
            case Advance():
                self.advancer.advance(action, plan, self._ground(fleet, now), now)
            case Lift():
                self._lift(action, plan, fleet, now)
            case Prepare():
                self._prepare(action, fleet)

    def _suspend(self, action: Suspend, plan: Plan, fleet: Fleet, now: datetime) -> None:
        harm = [verdict for verdict in plan.verdicts if verdict.release == action.release and verdict.halts]
        suspension, ground = Suspension(action.release, action.reason, now, GUARDRAIL), self._ground(fleet, now)
        verdicts = as_json(harm)
        release = fleet.release(action.release)
        with writing(self.engine) as connection:
            if release is not None:
                holds.hold(connection, hold_of(release, action.reason, plan.commit), now)
            if suspensions.suspend(connection, suspension):
                body = {"release": action.release, "reason": action.reason, "commit": plan.commit, "verdicts": verdicts}
                ledger.append(connection, "suspended", f"suspended:{action.release}:{now.isoformat()}", body, now)
                self.telling.suspended(connection, ground, suspension, harm)

    def _lapse(self, action: Lapse, plan: Plan, now: datetime) -> None:
        with writing(self.engine) as connection:
            if not suspensions.end_if_over(connection, action.release, now):
                return
            suspensions.record_resumption(connection, action.release, action.generation, now)
            body = {"release": action.release, "reason": action.reason, "commit": plan.commit}
            ledger.append(connection, "lapsed", f"lapsed:{action.release}:{now.isoformat()}", body, now)

    def _publish(self, action: Publish, fleet: Fleet, now: datetime) -> None:
        by_artifact = {release.spec.artifact.digest: release for release in fleet.releases}
        pins = self.prepared.pins()
        prepared = {
            digest: release
            for digest in action.artifacts
            if (release := by_artifact.get(digest)) is not None and release.pins in pins
        }
        artifacts = {digest: self._artifact(digest, prepared.get(digest)) for digest in action.artifacts}
        keys = [key.spec.public_key for key in fleet.keys_for("artifacts")]
        if len(prepared) < len(action.artifacts) or not signs_for(fleet, self.signer):
            # A key that was replaced or taken out of the repository must not keep a halt from being published: those
            # that devices know stay, until all that is on offer is signed with a declared one.
            keys = list(dict.fromkeys([*keys, *self.publisher.signing_keys()]))
        with writing(self.engine) as connection:
            keep_offers(connection, action.documents.values(), now)
        self.publisher.publish(action.generation, action.documents.values(), artifacts, keys, now)
        self.record_published(now)

    def _artifact(self, digest: str, release: Release | None) -> PublishedArtifact:
        """What is prepared (for this release) comes from the store; what is published can stay from its own files.

        An artifact that is altered or gone in both is remembered as damaged: the next plan does without it.
        """
        if release is not None:
            try:
                path = self.store.path(digest)
                return PublishedArtifact(path, digest, path.stat().st_size, self.prepared.signature(release))
            except (DamagedObject, MissingObject):
                # It is built again.
                self.prepared.forget(release)
        try:
            published = self.publisher.artifact(digest)
            if digest_of_file(published.path) == digest:
                return published
        except (MusterError, OSError):
            pass
        self.damaged.add(digest)
        raise TryAgain(f"artifact {digest} is altered or gone", "it is published again once it was rebuilt")

    def record_published(self, now: datetime) -> None:
        """Enter the published generation into the ledger, if it is not there (a crash came between)."""
        published = self.publisher.published()
        if not published.generation:
            return
        newest = [item for item in published.documents.values() if item.generation == published.generation]
        body = {
            "generation": published.generation,
            # Of the documents themselves: a newer commit may be declared by now.
            "commit": newest[0].commit if newest else None,
            "documents": {
                f"{model}/{device_class}": [
                    {
                        "release": entry.release,
                        "artifact": entry.artifact.digest,
                        "salt": entry.salt,
                        "ppm": dict(entry.ppm),
                    }
                    for entry in document.entries
                ]
                for (model, device_class), document in sorted(published.documents.items())
            },
        }
        with writing(self.engine) as connection:
            ledger.append(connection, "published", f"published:{published.generation}", body, now)

    def _revert(self, action: Revert, plan: Plan, fleet: Fleet, now: datetime) -> None:
        if fleet.release(action.release) is None:
            return
        with self.engine.connect() as connection:
            suspension = suspensions.load_suspensions(connection).get(action.release)
            chain = ledger.head(connection)
        if suspension is None:
            # Somebody resumed the release since the plan was made.
            return
        trailer = f"Muster-Ledger: {chain}"
        if action.way == "pull-request":
            wanted = Proposal(revert_branch(action.release), action.release, "revert", "")
            made = self.advancer.proposals.make(
                wanted,
                lambda: self.reverter.commit(action, plan.commit, trailer, suspension.at),
                suspension.reason,
                now,
            )
            with writing(self.engine) as connection:
                suspensions.record_revert(connection, action.release, made.commit)
            return
        commit = self.reverter.commit(action, plan.commit, trailer, suspension.at)
        # Before the push, so that a kill in between leaves a trace of what was pushed (see `_lift`).
        with writing(self.engine) as connection:
            if not suspensions.record_revert(connection, action.release, commit):
                return
            holds.after_revert(connection, action.release, commit, now)
        self.reverter.push(commit, plan.commit)
        self._record_reverted(suspension, commit, fleet, now)

    def _record_reverted(self, suspension: Suspension, commit: str, fleet: Fleet, now: datetime) -> None:
        self.reverter.signer.pushed(commit, now)
        release, ground = suspension.release, self._ground(fleet, now)
        with writing(self.engine) as connection:
            body = {"release": release, "commit": commit, "reason": suspension.reason}
            ledger.append(connection, "reverted", f"reverted:{release}:{commit}", body, now)
            self.telling.reverted(connection, ground, suspension, commit)

    def _tell_held_up(self, release: str, fleet: Fleet, error: MusterError, now: datetime) -> None:
        ground = self._ground(fleet, now)
        with writing(self.engine) as connection:
            suspension = suspensions.load_suspensions(connection).get(release)
            if suspension is not None:
                self.telling.held_up(connection, ground, suspension, error)

    def _ground(self, fleet: Fleet, now: datetime) -> Ground:
        return self.telling.ground(fleet, self.publisher.published().generation, now)

    def _lift(self, action: Lift, plan: Plan, fleet: Fleet, now: datetime) -> None:
        with self.engine.connect() as connection:
            suspension = suspensions.load_suspensions(connection).get(action.release)
        if suspension is None:
            return
        ours = suspension.revert if suspension.revert and self.reverter.is_in(suspension.revert, plan.commit) else None
        if ours:
            with writing(self.engine) as connection:
                holds.after_revert(connection, action.release, ours, now)
            self._record_reverted(suspension, ours, fleet, now)
        ground = self._ground(fleet, now)
        with writing(self.engine) as connection:
            suspensions.lift(connection, action.release)
            if ours is None:
                # A person took it back, or what was proposed was merged as another commit. That commit may say that it
                # reverts the one at which the release was halted: only what comes after it can name the release anew.
                holds.after_revert(connection, action.release, plan.commit, now)
            key = f"lifted:{action.release}:{suspension.at.isoformat()}"
            body = {"release": action.release, "reason": action.reason, "commit": plan.commit}
            ledger.append(connection, "lifted", key, body, now)
            self.telling.lifted(connection, ground, suspension, action.reason)

    def _prepare(self, action: Prepare, fleet: Fleet) -> None:
        release = fleet.release(action.release)
        if release is None or fleet.commit is None:
            raise Unusable(f"{action.release} is not declared")
        declared = self.repository.show_file(fleet.commit, release.path)
        lock = self.repository.show_file(fleet.commit, release.spec.builder.lock)
        if declared is None or lock is None:
            raise Unusable(
                f"{release.spec.builder.lock} is not in the repository", "commit the lock that the release pins"
            )

        def work() -> None:
            self.build(release, declared, lock)
            self.prepared.sign(release)

        self.builds.start(release.pins, work)

    def settle(self, fleet: Fleet, now: datetime) -> None:
        """Record what was prepared since the last tick."""
        releases = {release.pins: release for release in fleet.releases}
        for pins, reason in self.builds.settle(now).items():
            release = releases.get(pins)
            body = {"release": release.name if release else None, "pins": pins}
            event, key = ("prepared", f"prepared:{pins}")
            if reason is not None:
                event, key = ("not-prepared", f"not-prepared:{pins}:{now.isoformat()}")
                body["reason"] = reason
            elif release:
                body["artifact"] = release.spec.artifact.digest
                body["admission"] = self.admissions.admit(release, now)
                self.damaged.discard(release.spec.artifact.digest)
            ground = self._ground(fleet, now)
            with writing(self.engine) as connection:
                ledger.append(connection, event, key, body, now)
                if release and "admission" in body:
                    self.key_uses.admission(connection, release, str(body["admission"]), now)
                if reason is not None:
                    self.telling.not_prepared(connection, ground, release.name if release else None, pins, reason)
        self.advancer.settle(fleet.commit or "", self._ground(fleet, now), now)
        self.key_uses.enter_signatures(fleet.releases, self.prepared, now)
