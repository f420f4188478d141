"""The agent of one device: ask, do, report. One `tick` is one round; time comes in, so that nothing here waits.

Whatever goes wrong in a round ends that round, with a code that the next report carries. What runs goes on running.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from muster.agent.camera import Camera
from muster.agent.capture.desk import CaptureDesk
from muster.agent.delivery import Delivery, Told, deliver
from muster.agent.device import Device, Surroundings
from muster.agent.folder import DeviceFolder
from muster.agent.journal import read_journal, remove_leftovers
from muster.agent.model_on_device import ModelOnDevice
from muster.agent.moment import Moment
from muster.agent.setbacks import Postponed, disk_failed
from muster.agent.trusted import TrustedTargets
from muster.agent.worker import Worker
from muster.artifacts.tensors import Tensor
from muster.kinds.desired import DesiredDocument, desired_target
from muster.kinds.errors import MusterError, TryAgain
from muster.plan.assignment import BUCKETS, bucket

DOCUMENT_LIMIT = 2**22
DEFAULT_POLL_SECONDS = 30.0
DIAGNOSTICS = "diagnostics"
"""The model whose releases are golden diagnostic bundles: no camera's frames are for it, its golden inputs are all."""
_NOT_ENROLLED = "not_enrolled"


@dataclass(frozen=True)
class Outcome:
    """One round. `problem` is the code of what was in the way; `reason` is for people.

    `poll_interval` in seconds, as the fleet's owner declared it. `retry_after` in seconds, as the server asked.
    `away`: what is desired could not be asked for. `waits`, for people: what waits for its time, and until when.
    """

    problem: str | None = None
    reason: str | None = None
    poll_interval: float = DEFAULT_POLL_SECONDS
    retry_after: float = 0.0
    waiting_reports: int = 0
    away: bool = False
    waits: str | None = None


class Agent:
    """One device. `frames` [N, ...] are what its camera sees; `frames_per_tick` are answered in each round."""

    def __init__(
        self,
        folder: DeviceFolder,
        surroundings: Surroundings,
        now: Moment,
        *,
        frames: Tensor | None = None,
        frames_per_tick: int = 0,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        self.device = Device(folder, surroundings, now)
        self._frames_per_tick = frames_per_tick
        self._documents: dict[str, DesiredDocument] = {}
        self._intervals: dict[str, float] = {}
        self._send_after = now.steady
        self._found: str | None = None
        device_id = self.device.identity.device_id
        self.captures = CaptureDesk(
            folder, surroundings.server, self.device.identity, lambda: f"Bearer {device_id}:{self.device.secret}"
        )
        self.models = [
            ModelOnDevice(self.device, name, Worker(camera, on_error=on_error, on_answer=self.captures.answered))
            for name in self.device.identity.models
            for camera in [_camera(frames, device_id, name)]
        ]

    def start(self, now: Moment) -> None:
        """Run what ran before. Call once, before the first `tick`."""
        if self.device.journal.recovery in ("lost", "from backup"):
            self._found = "journal_lost" if self.device.journal.recovery == "lost" else "journal_restored"
        self._save_if_unsaved()
        for model in self.models:
            self._found = model.start(now) or self._found
        with contextlib.suppress(OSError):
            remove_leftovers(self.device.folder)
            self._collect_garbage()

    def tick(self, now: Moment) -> Outcome:
        """One round: ask the server, follow, judge, report."""
        self.device.steady = now.steady
        for model in self.models:
            # A verdict that cannot be written holds all the same.
            self._found = model.look_at_files() or self._found
        setback = self._poll(now)
        for model in self.models:
            model.worker.work(self._frames_per_tick)
        self._judge(now)
        problem = self._found or (setback.error_code if setback else None)
        with contextlib.suppress(TryAgain):
            self.device.note(problem)
        for model in self.models:
            model.report(problem)
        self._found = None
        outcome = Outcome(
            problem=problem,
            reason=setback.message if setback else None,
            poll_interval=self._poll_interval(),
            retry_after=(setback.retry_after if setback else None) or 0.0,
            away=setback is not None and setback.error_code == "server_away",
            waits=", ".join(waits for model in self.models if (waits := _wait_of(model))) or None,
        )
        outcome = self._send(now, outcome)
        self.captures.turn(self._documents, now, away=outcome.away)
        return outcome

    def watch(self, now: Moment) -> Outcome:
        """Between rounds: judge the trials, and tell the verdicts at once."""
        sequence = self.device.sequence
        self._judge(now)
        outcome = Outcome(poll_interval=self._poll_interval())
        return outcome if self.device.sequence == sequence else self._send(now, outcome)

    def stop(self, now: Moment) -> Outcome:
        """The last call: send what waits once, and leave the journal as for a planned end."""
        outcome = self._send(now, Outcome())
        with contextlib.suppress(TryAgain):
            for model in self.models:
                model.stop()
            self.device.journal.save(self.device.state)
        return outcome

    @property
    def runs_all(self) -> bool:
        """True if each of the models runs in some release, so that nothing hurries."""
        return all(model.state.running for model in self.models)

    def next_verdict(self) -> float | None:
        """When the next trial can be judged, in seconds of the steady clock."""
        return min((end for model in self.models if (end := model.window_end) is not None), default=None)

    def _poll(self, now: Moment) -> Postponed | None:
        """The first thing that was in the way."""
        try:
            self._save_if_unsaved()
            if self.device.trusted.refresh(now):
                self._documents = {}
        except Postponed as setback:
            return setback
        setbacks = [found for model in self.models if (found := self._follow(model, now))]
        with contextlib.suppress(OSError):
            self._collect_garbage()
        return setbacks[0] if setbacks else self.device.trusted.doubt(now)

    def _follow(self, model: ModelOnDevice, now: Moment) -> Postponed | None:
        """What is in the way of one model does not hold up the others."""
        try:
            code = model.follow(self._document(model.name), now)
        except Postponed as setback:
            return None if _is_usual(model.name, setback.error_code) else setback
        except TryAgain as error:
            return disk_failed(error.message, error)
        except OSError as error:
            return disk_failed(f"the disk refuses: {error.strerror}", error)
        if code is None or _is_usual(model.name, code):
            return None
        return Postponed(code, f"{model.name} stays as it is")

    def _document(self, model: str) -> DesiredDocument:
        if model in self._documents:
            return self._documents[model]
        document = read_document(self.device.trusted, model, self.device.identity.device_class)
        self._documents[model] = document
        # Kept while a newer document is being fetched, and while the server is away.
        self._intervals[model] = document.poll_interval / 1_000_000
        return document

    def _judge(self, now: Moment) -> None:
        # A verdict that cannot be written is given again at the next round.
        with contextlib.suppress(TryAgain):
            for model in self.models:
                model.judge(now)

    def _poll_interval(self) -> float:
        return min(self._intervals.values(), default=DEFAULT_POLL_SECONDS)

    def _send(self, now: Moment, outcome: Outcome) -> Outcome:
        state = self.device.state
        if not state.outbox or now.steady < self._send_after:
            return _with(outcome, waiting=len(state.outbox))
        delivery = self._deliver()
        if delivery.behind is not None:
            self.device.renumber(delivery.behind)
            delivery = self._deliver()
        waiting = len(self.device.state.outbox)
        if delivery.setback is not None:
            self._send_after = now.steady + (delivery.setback.retry_after or 0.0)
            self._keep_spool()
            return _with(outcome, delivery.setback.error_code, delivery.setback.message, waiting)
        if delivery.unknown:
            self._keep_spool()
            reason = "the server does not know this device: enrol it again with `muster agent enrol`"
            return _with(outcome, _NOT_ENROLLED, reason, waiting)
        if delivery.refused:
            return _with(outcome, "reports_refused", f"the server refused {delivery.refused} reports", waiting)
        return _with(outcome, waiting=waiting)

    def _deliver(self) -> Delivery:
        device = self.device
        outbox = device.state.outbox
        delivery = deliver(
            device.surroundings.server, device.identity.device_id, device.secret, outbox, device.sequence
        )
        device.journal.hold(device.state.model_copy(update={"outbox": outbox[delivery.gone :]}))
        if delivery.told is not None:
            self._heed(delivery.told)
        return delivery

    def _heed(self, told: Told) -> None:
        """What cannot be done now is told again with the next answer."""
        with contextlib.suppress(MusterError, OSError):
            self.device.take_labels(told.labels)
            if told.rotate:
                self.device.rotate_secret()

    def _keep_spool(self) -> None:
        """What could not be sent must survive a restart."""
        with contextlib.suppress(TryAgain):
            self.device.journal.save(self.device.state)

    def _save_if_unsaved(self) -> None:
        if self.device.journal.unsaved:
            with contextlib.suppress(TryAgain):
                self.device.journal.save(self.device.state)

    def _collect_garbage(self) -> None:
        states = [*self.device.state.models.values()]
        if self.device.journal.unsaved:
            # A restart begins with what the disk says.
            states += read_journal(self.device.folder)[0].models.values()
        kept, staged = ((state.kept for state in states), (state.staged for state in states))
        self.device.slots.keep(frozenset().union(*kept), frozenset().union(*staged))


def read_document(trusted: TrustedTargets, model: str, device_class: str) -> DesiredDocument:
    """What is desired. Raises `Postponed`: nothing_desired, document_invalid, and what `TrustedTargets.read` raises."""
    data = trusted.read(desired_target(model, device_class), DOCUMENT_LIMIT)
    if data is None:
        raise Postponed("nothing_desired", f"no document for {model} on {device_class} is published")
    try:
        document = DesiredDocument.model_validate_json(data)
    except ValidationError as error:
        raise Postponed("document_invalid", "the desired document is not one that this agent can read") from error
    if (document.model, document.device_class) != (model, device_class):
        raise Postponed("document_invalid", "the desired document is that of another model or device class")
    return document


def _is_usual(model: str, code: str) -> bool:
    """Diagnostics are for chosen cohorts: most devices, most of the time, have none."""
    return model == DIAGNOSTICS and code == "nothing_desired"


def _with(outcome: Outcome, problem: str | None = None, reason: str | None = None, waiting: int = 0) -> Outcome:
    """The first problem of a round is the one that is told."""
    if outcome.problem:
        problem, reason = outcome.problem, outcome.reason
    return replace(outcome, problem=problem, reason=reason, waiting_reports=waiting)


def _wait_of(model: ModelOnDevice) -> str | None:
    state = model.state
    if state.waits_until is None:
        return None
    what = f"{state.staging.entry.release} is {state.staging.step}" if state.staging else f"{model.name} is to return"
    return f"{what}; it waits for its maintenance window and its turn until {state.waits_until}"


def _camera(frames: Tensor | None, device_id: str, model: str) -> Camera | None:
    """Devices that share a recording do not all start at its first frame."""
    if frames is None or model == DIAGNOSTICS:
        return None
    return Camera(frames, bucket("camera", f"{device_id}/{model}") * len(frames) // BUCKETS)
