"""One model on one device: start, follow the desired document, judge the trial, go back.

The rules are in `decide` and `health`; this module carries them out. Whatever fails, what ran goes on running.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from muster.agent.application import read_application
from muster.agent.decide import Keep, Return, Stage, decide
from muster.agent.device import Device
from muster.agent.health import Health, Healthy, Unhealthy, Waiting, Window, judge
from muster.agent.journal import ModelState, Slot, Trial
from muster.agent.loaded import LoadedModel, load_slot
from muster.agent.moment import Moment
from muster.agent.promotion import Promotion
from muster.agent.rehash import Rehash
from muster.agent.sessions import Session, read_session
from muster.agent.setbacks import StepFailed
from muster.agent.statistics import NOTHING
from muster.agent.telemetry import Event, Readings
from muster.agent.waiting import may_wait
from muster.agent.worker import Worker
from muster.kinds.desired import DesiredDocument, Entry
from muster.kinds.moment import utc_text
from muster.kinds.phases import Phase
from muster.plan.maintenance import next_switch, turn_of

MOST_STARTS = 3
"""Starts of the agent with the same trial; one more, and the trial counts as what keeps ending it."""

_MOST_STEPS = 6
_REPLAYS = 8
RECALLED = "recalled"
DAMAGED = "slot_damaged"
_SWITCHED: Mapping[str, object] = MappingProxyType({"crashes": 0, "open": True})


class ModelOnDevice:
    """`name` is the model's; `worker` answers its frames."""

    def __init__(self, device: Device, name: str, worker: Worker) -> None:
        self.name = name
        self.worker = worker
        self._device = device
        self._window: Window | None = None
        self._errors_seen = 0
        self._rehash: Rehash | None = None
        self._damaged: Slot | None = None

    @property
    def state(self) -> ModelState:
        """The journal's part about this model."""
        return self._device.model_state(self.name)

    @property
    def window_end(self) -> float | None:
        """When the trial can be judged, in seconds of the steady clock."""
        return self._window.end if self._window else None

    def start(self, now: Moment) -> str | None:
        """Load what the journal says is running. Returns a code if something was lost. Raises `TryAgain`."""
        if self.state.running is not None:
            # Counted before it is loaded: a model that takes the agent down with it must not do so unseen.
            self._keep({"open": True, "crashes": self.state.crashes + self.state.open})
        trial = self.state.trial
        if trial is not None and trial.starts >= MOST_STARTS:
            self._leave_trial("trial_interrupted")
        elif trial is not None:
            # Counted before it is loaded: a model that takes the agent down with it must not do so for ever.
            self._keep({"trial": trial.model_copy(update={"starts": trial.starts + 1})})
            try:
                self._begin_trial(self._load(trial.slot), now)
            except StepFailed as failure:
                self._leave_trial(failure.error_code)
        else:
            return self._load_confirmed()
        return None

    def stop(self) -> None:
        """The agent ends because it was asked to: this start says nothing against the trial. Raises `TryAgain`."""
        trial = self.state.trial
        changes: dict[str, object] = {"open": False} if self.state.open else {}
        if trial is not None and trial.starts:
            changes["trial"] = trial.model_copy(update={"starts": 0})
        if changes:
            self._commit(changes)

    def follow(self, document: DesiredDocument, now: Moment) -> str | None:
        """Do what the document asks for, as far as it goes.

        Returns a code if nothing could be done. Raises `Postponed`, and `TryAgain` if the disk refuses.
        """
        keys, known = self._device.trusted.targets_keys, self.state.vouched_by
        # Who stole a key could publish the last generation there is; the owner's next key takes that back.
        if document.generation < self.state.generation and known in (None, keys):
            return "generation_older"
        if (document.generation, keys) != (self.state.generation, known):
            self._commit({"generation": document.generation, "vouched_by": keys})
        for _ in range(_MOST_STEPS):
            device = self._device
            match decide(self.state, document, device.identity.device_id, device.labels):
                case Keep(problem):
                    return self._stay(problem)
                case Return() as step:
                    if self._waits(step, document, now):
                        return None
                    self._return(step, now)
                case Stage() as step:
                    if not self._waits(step, document, now):
                        self._promote(step, now)
                    elif self._is_ready(step.entry) or self._fetch(step.entry):
                        return None
        return None

    def _waits(self, step: Return | Stage, document: DesiredDocument, now: Moment) -> bool:
        """True if window and turn let the device switch only later; that moment is then kept, and reported."""
        until = None
        if may_wait(self.state, step):
            identity, disruption = self._device.identity, document.disruption
            mine = turn_of(disruption, identity.device_id, self._device.labels) if disruption else 0
            opens = next_switch(document.maintenance, disruption, mine, now.wall, self._device.zone)
            until = utc_text(opens) if opens > now.wall else None
        if until != self.state.waits_until:
            self._commit({"waits_until": until})
        return until is not None

    def _is_ready(self, entry: Entry) -> bool:
        """True if the entry was verified, and only waits. It is verified once more before it is switched in."""
        staging = self.state.staging
        return (
            staging is not None
            and (staging.step, staging.entry.artifact) == ("verified", entry.artifact)
            and staging.entry.since >= entry.since
            and self._device.slots.has(entry.artifact.digest)
        )

    def _fetch(self, entry: Entry) -> bool:
        """Bring an entry as far as it may come before its time. False if it was given up."""
        promotion = Promotion(self._device, self.name, self._readings, entry)
        try:
            promotion.admit()
        except StepFailed as failure:
            promotion.give_up(failure)
            return False
        return True

    def look_at_files(self) -> str | None:
        """Read a piece of what runs again. Returns a code if it is not what it was.

        A trial is left for it. The confirmed model goes on running in memory, and its files are fetched again.
        """
        running = self.state.running
        if running is None:
            return None
        if self._rehash is None or self._rehash.slot != running:
            self._rehash = Rehash(self._device.slots.place(running.artifact), running)
        if self._rehash.round() is None:
            return None
        self._rehash = None
        if self.state.trial:
            self._leave_trial(DAMAGED)
        else:
            self._damaged = running
        return DAMAGED

    def judge(self, now: Moment) -> None:
        """Confirm the trial, leave it, or wait. Raises `TryAgain` if the disk refuses."""
        trial = self.state.trial
        if self._window is None or trial is None:
            return
        match self._health(self._window, trial, now):
            case Healthy():
                self._commit(
                    {"confirmed": trial.slot, "previous": self.state.confirmed or self.state.previous, "trial": None},
                    Event(trial.slot.entry, "confirmed"),
                )
                self._window = None
            case Unhealthy(error_code):
                self._leave_trial(error_code)

    def _health(self, window: Window, trial: Trial, now: Moment) -> Health:
        """Where an application answers, by what it tells; a release that it does not run yet cannot show itself."""
        session, artifact = self._session(), trial.slot.artifact
        if session is None:
            return judge(window, self.worker.figures(), now.steady)
        if session.refused and session.refused.artifact == artifact:
            return Unhealthy(session.refused.error_code, "the application cannot load it")
        if session.loaded is None or session.loaded.artifact != artifact:
            return Waiting()
        return judge(replace(window, has_camera=True), session.loaded.figures(), now.steady)

    def report(self, problem: str | None) -> None:
        """One steady report: what runs, and how it is."""
        if not self.worker.has_camera and self._session() is None:
            self.worker.work(_REPLAYS)
        readings = self._readings()
        running, phase, code = self.state.running, self._phase(), problem
        session, errors = readings.session, readings.figures.errors
        if session and running and (session.loaded is None or session.loaded.artifact != running.artifact):
            # The agent switched it in; that it runs is only true when it answers.
            code = session.refused.error_code if session.refused else code
            phase = "activated"
        if errors > self._errors_seen:
            code = "inference_failed"
            phase = "confirmed" if phase == "healthy" else phase
        self._errors_seen = errors
        self._device.report(Event(running.entry if running else None, phase, code, steady=True), readings)

    def _session(self) -> Session | None:
        return read_session(self._device.folder, self.name)

    def _phase(self) -> Phase | None:
        if self.state.running is None:
            return None
        return "activated" if self.state.trial else "healthy"

    def _return(self, step: Return, now: Moment) -> None:
        left, target = self.state.running, step.slot
        try:
            loaded = self._load(target)
        except StepFailed:
            self._drop(target)
            return
        events = [Event(left.entry, "rolled-back", RECALLED)] if left and step.recalled else []
        changes: dict[str, object] = {"trial": None}
        if not step.proven:
            changes = {"trial": Trial(slot=target), "previous": None}
            events.append(Event(target.entry, "activated"))
        elif target != self.state.confirmed:
            changes |= {"confirmed": target, "previous": self.state.confirmed}
            events += [Event(target.entry, "activated"), Event(target.entry, "confirmed")]
        self._commit({**changes, **_SWITCHED}, *events, running=loaded)
        self._window = None
        if step.proven:
            self._switch(loaded)
        else:
            self._begin_trial(loaded, now)

    def _promote(self, step: Stage, now: Moment) -> None:
        promotion = Promotion(self._device, self.name, self._readings, step.entry)
        left = self.state.running
        try:
            slot = promotion.admit()
            loaded = promotion.load(slot)
        except StepFailed as failure:
            promotion.give_up(failure)
            return
        recalled = [Event(left.entry, "rolled-back", RECALLED)] if left and step.recalled else []
        self._commit(
            {"trial": Trial(slot=slot), "staging": None, **_SWITCHED},
            *recalled,
            Event(step.entry, "loaded"),
            Event(step.entry, "activated"),
            running=loaded,
        )
        self._begin_trial(loaded, now)

    def _stay(self, problem: str | None) -> str | None:
        """Nothing is to be done, unless files changed under what runs. Raises `Postponed`, `TryAgain`."""
        if self._damaged is not None and self._damaged == self.state.confirmed:
            return self._repair(self._damaged)
        self._forget_staging()
        return problem

    def _repair(self, slot: Slot) -> str | None:
        """Fetch the files of what runs again. Raises `Postponed`, `TryAgain`."""
        try:
            Promotion(self._device, self.name, self._readings, slot.entry).admit()
        except StepFailed:
            # What comes instead is not the artifact; what runs is not to blame.
            return DAMAGED
        self._damaged = None
        self._forget_staging()
        return None

    def _leave_trial(self, error_code: str) -> None:
        """Back to the confirmed release at once; the artifact is not tried again until it is named on purpose."""
        trial = self.state.trial
        if trial is None:
            return
        quarantine = self.state.with_quarantine(trial.slot.artifact, self.state.generation).quarantine
        loaded, changes, _ = self._first_that_loads()
        self._window = None
        self._switch(loaded)
        left = Event(trial.slot.entry, "rolled-back", error_code)
        self._keep({**changes, "trial": None, "quarantine": quarantine, **_SWITCHED}, left)

    def _load_confirmed(self) -> str | None:
        """Load what is confirmed. Returns a code if something was lost."""
        loaded, changes, code = self._first_that_loads()
        self._switch(loaded)
        if code:
            self._keep(changes)
        return code

    def _first_that_loads(self) -> tuple[LoadedModel | None, dict[str, object], str | None]:
        """The confirmed slot, or the one before if that is damaged; the slots to keep; a code if one was lost."""
        code = None
        slots = [slot for slot in (self.state.confirmed, self.state.previous) if slot]
        while slots:
            try:
                loaded = self._load(slots[0])
            except StepFailed as failure:
                code = code or failure.error_code
                del slots[0]
            else:
                return loaded, dict(zip(("confirmed", "previous"), [*slots, None], strict=False)), code
        return None, {"confirmed": None, "previous": None}, code

    def _drop(self, slot: Slot) -> None:
        """A kept slot that does not load any more is not kept."""
        state = self.state
        confirmed = None if state.confirmed == slot else state.confirmed
        self._commit({"confirmed": confirmed, "previous": None if state.previous == slot else state.previous})

    def _forget_staging(self) -> None:
        if self.state.staging is not None or self.state.waits_until is not None:
            self._commit({"staging": None, "waits_until": None})

    def _begin_trial(self, loaded: LoadedModel, now: Moment) -> None:
        self._switch(loaded)
        self._window = Window(
            began=now.steady,
            length=loaded.slot.entry.health_window / 1_000_000,
            min_confident=loaded.config.thresholds.min_confident,
            has_camera=self.worker.has_camera,
        )

    def _switch(self, loaded: LoadedModel | None) -> None:
        self.worker.switch(loaded)
        self._errors_seen = 0

    def _load(self, slot: Slot) -> LoadedModel:
        return load_slot(self._device.slots.place(slot.artifact), slot, self._device.surroundings.runtime)

    def _commit(self, changes: dict[str, object], *events: Event, running: LoadedModel | None = None) -> None:
        state = self.state.model_copy(update=changes)
        readings = replace(self._readings(), waits_until=state.waits_until)
        if running:
            # What was counted so far is of the model that it takes the place of.
            readings = replace(readings, running=running, figures=NOTHING)
        self._device.commit(state, events, readings)

    def _keep(self, changes: dict[str, object], *events: Event) -> None:
        """Like `_commit`, for what must hold even if the disk refuses."""
        state = self.state.model_copy(update=changes)
        readings = replace(self._readings(), waits_until=state.waits_until)
        self._device.commit(state, events, readings, whatever_the_disk_says=True)

    def _readings(self) -> Readings:
        surroundings, running, session = self._device.surroundings, self.state.running, self._session()
        figures = self.worker.figures()
        if session is not None:
            told = session.loaded if running and session.loaded else None
            figures = told.figures() if told and running and told.artifact == running.artifact else NOTHING
        return Readings(
            model=self.name,
            generation=self.state.generation,
            running=self.worker.model,
            figures=figures,
            inferences=session.inferences if session else self.worker.inferences,
            dropped_frames=session.dropped_frames if session else self.worker.dropped_frames,
            downloads=self._device.state.downloads,
            peak_ram_mb=session.peak_ram_mb if session else surroundings.peak_ram_mb(),
            session=session,
            thermal_state=surroundings.thermal_state(),
            os_version=surroundings.os_version(),
            crashes=self.state.crashes,
            application=read_application(self._device.folder, self.name),
            waits_until=self.state.waits_until,
        )
