"""The loop: read everything, decide, carry out, say what was done. One reconcile path, whatever woke it.

A trigger (a ref that changed, a report, a build that ended) only wakes the loop; it carries no news.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from muster.apply import suspensions
from muster.apply.admissions import Admissions
from muster.apply.advance import Advancer
from muster.apply.alerts.courier import Courier, Surroundings
from muster.apply.alerts.destination import networks
from muster.apply.alerts.telling import Telling, alerts_delivered
from muster.apply.approvals_seen import enter_declared
from muster.apply.builds import Builds
from muster.apply.checkpoints import Checkpoints
from muster.apply.commits import CommitSigner
from muster.apply.drift import find_drift, record_drift
from muster.apply.execute import Executor, Failed
from muster.apply.holds import forget, load_holds, named_anew
from muster.apply.identity import Identity
from muster.apply.key_uses import KeyUses
from muster.apply.own_forge import own_forge
from muster.apply.packages import Packages
from muster.apply.prepare import Prepared, Rebuilder
from muster.apply.proposals import Proposals, load_proposals
from muster.apply.publish import Publisher
from muster.apply.published_steps import PublishedSteps
from muster.apply.revert import Reverter
from muster.apply.told import Told
from muster.apply.tuf_keys import TufKeys
from muster.artifacts.store import Store
from muster.attest.keys import public_half
from muster.attest.state_keys import StateKeys
from muster.build.sandbox.confinement import Level
from muster.kinds.errors import MusterError
from muster.kinds.fleet import Fleet
from muster.observe.answers import asked
from muster.observe.counts import observed
from muster.observe.status import read_status, write_status
from muster.observe.storage import open_storage, writing
from muster.observe.tallies import keep_judging
from muster.plan.conditions import (
    Condition,
    carried_out_condition,
    carry_over,
    condition,
    drift_condition,
    ready,
    served_condition,
)
from muster.plan.describe import enrolment_terms, loop_body, plan_body, release_pins
from muster.plan.documents import longest_polls
from muster.plan.drifted import Drift
from muster.plan.judged_since import judged_since
from muster.plan.judging import judging_of
from muster.plan.planner import Plan, make_plan
from muster.plan.world import World
from muster.source.git import Repository
from muster.source.load import Loader

log = logging.getLogger("muster")


@dataclass(frozen=True)
class Settings:
    """What `muster run` is told."""

    repository: str
    state: Path
    branch: str = "main"
    interval: timedelta = timedelta(seconds=30)
    author: str = "Muster controller <muster@localhost>"
    sandbox: Level = Level.LANDLOCK
    """The weakest sandbox that a build is run in."""
    alert_networks: tuple[str, ...] = ()
    """Networks beyond public addresses that alerts may be sent into, such as `10.1.0.0/16`."""


@dataclass(frozen=True)
class Tick:
    """One look: what was planned, and what of it could not be carried out."""

    plan: Plan
    failed: tuple[Failed, ...]

    @property
    def is_done(self) -> bool:
        """True if nothing is left to do, to wait for, or to try again. Judging and advancing go on and do not count."""
        going_on = ("judge", "advance")
        return not self.plan.actions and not self.failed and all(wait.step in going_on for wait in self.plan.waits)


@dataclass(frozen=True)
class Preview:
    """What would be done (None: nothing valid was ever declared), and why that is not about the newest commit."""

    plan: Plan | None
    complaints: tuple[str, ...]


class Controller:
    """One reconcile loop over one repository. `tick` does all of its work once."""

    def __init__(self, settings: Settings, wake: Callable[[], None] = lambda: None) -> None:
        state = settings.state
        keys = StateKeys.of(state)
        signing_key = keys.signing_key()
        store = Store(state / "store")
        self.settings = settings
        self.engine: Engine = open_storage(state)
        self._signer = public_half(signing_key)
        key_uses = KeyUses(self.engine, self._signer)
        self.publisher = Publisher(state / "public", TufKeys.load(state / "keys"), key_uses.enter)
        self._repository = Repository.mirror(settings.repository, state / "repository.git")
        self._loader = Loader()
        self._builds = Builds(on_end=wake)
        identity = Identity(settings.author, settings.branch)
        self.checkpoints = Checkpoints(self.engine, state / "repository.git", identity, signing_key)
        self._events = Told(self.engine, self._repository, self._loader)
        self._steps = PublishedSteps()
        self._rebuilder = Rebuilder(state, settings.sandbox)
        self._prepared = Prepared(store, state / "signatures", signing_key)
        self._packages = Packages(self.engine, state, self.publisher, key_uses.enter)
        self._telling = Telling(self._repository)
        self.courier = Courier(self.engine, Surroundings.of(networks(settings.alert_networks), state, self._signer))
        signer = CommitSigner(signing_key, key_uses.enter)
        forge = own_forge(self._repository, settings.branch, os.environ)
        proposals = Proposals(self.engine, self._repository, identity, forge)
        self._executor = Executor(
            engine=self.engine,
            repository=self._repository,
            reverter=Reverter(self._repository, self._loader, identity, signer),
            advancer=Advancer(self.engine, self._repository, self._loader, identity, signer, self._telling, proposals),
            store=store,
            prepared=self._prepared,
            admissions=Admissions(state / "admissions", signing_key),
            publisher=self.publisher,
            builds=self._builds,
            key_uses=key_uses,
            telling=self._telling,
            build=self._rebuilder.rebuild,
            signer=self._signer,
        )

    def tick(self, now: datetime) -> Tick | None:
        """Reconcile once; what was done, or None if nothing valid was ever declared."""
        try:
            return self._reconcile(now)
        finally:
            self.checkpoints.start(now)
            # Whatever else goes wrong: what is published must not expire, or devices would see a freeze.
            if self.publisher.published().generation:
                self.publisher.refresh(now)

    def _reconcile(self, now: datetime) -> Tick | None:
        conditions = [self._fetch(now), self._pushed(now)]
        fleet, declared = self._declared(now)
        conditions.append(declared)
        self._remember_declared(fleet, now)
        if fleet is None:
            self._say(conditions, None, None, (), now)
            return None
        self.courier.declare(fleet.channels)
        self._executor.settle(fleet, now)
        self._executor.record_published(now)
        self._name_releases(fleet, now)
        self._named_anew(fleet, now)
        plan = make_plan(fleet, asked(fleet, self._world(fleet, now), os.environ, now), now)
        self._events.decided(plan, now)
        failed = self._executor.execute(plan, fleet, now)
        conditions += self._packages.settle(fleet, now)
        self._say(conditions, plan, fleet, failed, now)
        return Tick(plan, failed)

    def preview(self, now: datetime) -> Preview:
        """The plan for the newest commit that is valid, without carrying it out."""
        fetched = self._fetch(now)
        fleet, declared = self._declared(now)
        plan = make_plan(fleet, asked(fleet, self._world(fleet, now), os.environ, now), now) if fleet else None
        return Preview(plan, tuple(item.message for item in (fetched, declared) if item.status != "True"))

    @property
    def is_building(self) -> bool:
        """True while an artifact is being prepared; `wake` is called when that ends."""
        return bool(self._builds.building())

    def close(self) -> None:
        """End a build that runs (it starts again with the next controller), and release the storage."""
        self.checkpoints.stop()
        self.courier.stop()
        self._rebuilder.stop()
        self._builds.stop()
        self.engine.dispose()

    def _fetch(self, now: datetime) -> Condition:
        generation = self.publisher.published().generation
        try:
            self._repository.fetch()
        except MusterError as error:
            # What was declared last still holds: an absent repository changes nothing that is desired.
            return condition(
                "RepositoryReachable",
                holds=False,
                reason="FetchFailed",
                message=error.message,
                now=now,
                generation=generation,
            )
        return condition(
            "RepositoryReachable", holds=True, reason="Fetched", message="fetched", now=now, generation=generation
        )

    def _declared(self, now: datetime) -> tuple[Fleet | None, Condition]:
        """The newest commit if it is valid, else the last one that was: a bad commit switches nothing off."""
        generation = self.publisher.published().generation
        try:
            head = self._repository.resolve(self.settings.branch)
            fleet = self._loader.commit(self._repository, head).fleet_or_refuse(f"commit {head[:12]}")
        except MusterError as error:
            message = f"{error.message}; the last valid commit stays in force"
            self._events.refused(self.settings.branch, error.message, now)
            return self._last_valid(), condition(
                "DeclarationValid", holds=False, reason="NotValid", message=message, now=now, generation=generation
            )
        return fleet, condition(
            "DeclarationValid", holds=True, reason="Loaded", message=head, now=now, generation=generation
        )

    def _pushed(self, now: datetime) -> Condition:
        """Whether what the ledger holds reaches git; a push that is under way is no trouble."""
        self.checkpoints.settle(now)
        trouble = self.checkpoints.trouble
        return condition(
            "LedgerPushed",
            holds=trouble is None,
            reason="PushFailed" if trouble else "Pushed",
            message=f"{trouble}; it is tried again, and nothing waits for it" if trouble else "checkpoints reach git",
            now=now,
            generation=self.publisher.published().generation,
        )

    def _last_valid(self) -> Fleet | None:
        with self.engine.connect() as connection:
            last = read_status(connection, "declared")
        return self._loader.commit(self._repository, last["commit"]).fleet if last else None

    def _remember_declared(self, fleet: Fleet | None, now: datetime) -> None:
        """Keep the newest valid commit: it holds while a later one is not valid, also after a restart."""
        if fleet is None:
            return
        with self.engine.connect() as connection:
            known = read_status(connection, "declared")
        if known != {"commit": fleet.commit}:
            previous = known["commit"] if known else None
            approvals = self._events.approvals(fleet, previous)
            with writing(self.engine) as connection:
                enter_declared(connection, fleet.commit or "", previous, approvals, now)
                write_status(connection, "declared", {"commit": fleet.commit}, now)

    def _name_releases(self, fleet: Fleet, now: datetime) -> None:
        """Say which releases are declared, before any device can be offered one: reports on others are not taken."""
        with self.engine.connect() as connection:
            known = read_status(connection, "releases") or {}
        named = {**known, **release_pins(fleet)}
        if named != known:
            with writing(self.engine) as connection:
                write_status(connection, "releases", named, now)
        keep_judging(self.engine, judging_of(fleet), now)

    def _world(self, fleet: Fleet | None, now: datetime) -> World:
        published = self.publisher.published()
        with self.engine.connect() as connection:
            suspended = suspensions.load_suspensions(connection)
            resumed = suspensions.load_resumptions(connection)
            return World(
                signer=self._signer,
                published=published,
                prepared=self._prepared.pins(),
                unbuildable=self._builds.unbuildable(now),
                building=self._builds.building(),
                damaged=frozenset(self._executor.damaged),
                suspensions=suspended,
                resumed=resumed,
                named=read_status(connection, "releases") or {},
                holds=load_holds(connection),
                observed=observed(connection, now, judged_since(fleet, published, suspended, resumed, now)),
                steps=self._steps.steps(connection),
                begun=self._steps.begun(connection),
                proposals=load_proposals(connection),
            )

    def _named_anew(self, fleet: Fleet, now: datetime) -> None:
        """Forget the holds of what a commit since its revert names anew. While it is suspended, the halt counts."""
        with self.engine.connect() as connection:
            suspended = suspensions.load_suspensions(connection)
            held = {digest: one for digest, one in load_holds(connection).items() if one.release not in suspended}
        again = named_anew(self._repository, fleet.commit or "", held) if held else frozenset()
        if again:
            with writing(self.engine) as connection:
                forget(connection, again, now)

    def _say(
        self,
        conditions: list[Condition],
        plan: Plan | None,
        fleet: Fleet | None,
        failed: tuple[Failed, ...],
        now: datetime,
    ) -> None:
        """Write down what this tick found, for `serve` and the command line."""
        world = self._world(fleet, now)
        generation = world.published.generation
        ground = self._telling.ground(fleet, generation, now) if fleet else None
        conditions = [*conditions, carried_out_condition([_told(one) for one in failed], now, generation)]
        if fleet is not None:
            conditions.append(served_condition(fleet, world.published, now))
        drifted: tuple[Drift, ...] = ()
        if fleet is not None:
            with self.engine.connect() as connection:
                drifted = find_drift(connection, fleet, now)
        with writing(self.engine) as connection:
            conditions.append(alerts_delivered(connection, now, generation))
            record_drift(connection, drifted, now)
            # What devices drifted to keeps the loop from nothing.
            summary = ready(conditions, now, generation)
            conditions += [drift_condition(drifted, now, generation)] if fleet is not None else []
            before = read_status(connection, "loop") or {}
            old = {item["type"]: item for item in before.get("conditions", [])}
            carried = carry_over([*conditions, summary], old)
            write_status(connection, "loop", loop_body(plan, world, carried, now, before.get("recentTicks", ())), now)
            if ground is not None:
                self._telling.conditions(connection, ground, carried)
            if plan is not None and fleet is not None:
                write_status(
                    connection, "plan", plan_body(plan, {failure.action: failure.reason for failure in failed}), now
                )
                classes = {item.metadata.name: list(item.spec.models) for item in fleet.device_classes}
                write_status(connection, "classes", classes, now)
                write_status(connection, "enrolment", enrolment_terms(fleet), now)
                write_status(connection, "polls", longest_polls(world.published), now)


def _told(one: Failed) -> str:
    return f"{type(one.action).__name__.lower()}: {one.reason}"


class Loop:
    """Calls `tick` when woken, and at the latest after the interval with a jitter of ±10 %."""

    def __init__(self, settings: Settings, jitter: random.Random | None = None) -> None:
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._settings = settings
        self.controller = Controller(settings, wake=self._wake.set)

    def wake(self) -> None:
        """Tick soon."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the tick that runs, then end."""
        self._stop.set()
        self._wake.set()

    def run(self, on_tick: Callable[[Tick | None, float], None] = lambda _tick, _seconds: None) -> None:
        """Tick until stopped. What goes wrong in a tick is logged and tried again: the loop does not end by itself."""
        self.controller.courier.start()
        while not self._stop.is_set():
            started = datetime.now(UTC)
            done = None
            try:
                done = self.controller.tick(started)
            except MusterError as error:
                log.warning("tick: %s", error.message)
            except Exception:
                log.exception("tick: internal error")
            self.controller.courier.wake()
            on_tick(done, (datetime.now(UTC) - started).total_seconds())
            self._wake.wait(self._settings.interval.total_seconds() * self._jitter.uniform(0.9, 1.1))
            self._wake.clear()
        self.controller.close()
