"""Capture as the agent sees it: it is told of answers, and has one turn in each round. Its failures are its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from muster.agent.capture.consent import read_consent
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import sweep
from muster.agent.capture.sending import Sender, Sent
from muster.agent.capture.taking import Sample, Taker
from muster.agent.capture.terms import read_terms, write_terms
from muster.agent.folder import DeviceFolder
from muster.agent.identity import Identity
from muster.agent.loaded import Answered, LoadedModel
from muster.agent.moment import Moment
from muster.agent.server import Server
from muster.artifacts.tensors import Tensor
from muster.kinds.capture import Captures
from muster.kinds.desired import DesiredDocument
from muster.kinds.errors import MusterError


class CaptureDesk:
    """One device's. `authorization` gives the header that it proves itself with now."""

    def __init__(
        self, folder: DeviceFolder, server: Server, identity: Identity, authorization: Callable[[], str]
    ) -> None:
        self.place = CapturePlace.of(folder)
        self.taker = Taker(self.place)
        self._identity = identity
        self._sender = Sender(self.place, server, authorization)
        self._send_after = 0.0

    def answered(self, frame: Tensor, model: LoadedModel, answered: Answered) -> None:
        """A frame was answered. Never blocks, never raises."""
        entry = model.slot.entry
        self.taker.offer(
            Sample(
                model=entry.release.partition("/")[0],
                release=entry.release,
                model_hash=model.model_hash,
                device_class=self._identity.device_class,
                frame=frame,
                label=answered.label,
                confidence=answered.confidence,
            )
        )

    def turn(self, documents: Mapping[str, DesiredDocument], now: Moment, *, away: bool) -> Sent:
        """Follow the documents, erase what may not stay, send. What stands in the way waits for the next round.

        `away`: the server did not answer just now, and is not asked again in this round.
        """
        if not self.place.path.exists() and not any(document.capture for document in documents.values()):
            return Sent()
        try:
            self._follow(documents, now)
            if away or now.steady < self._send_after:
                return Sent()
            sent = self._sender.send()
        except (MusterError, OSError) as error:
            return Sent(setback=str(error))
        self._send_after = now.steady + sent.retry_after
        return sent

    def _follow(self, documents: Mapping[str, DesiredDocument], now: Moment) -> None:
        self.taker.write()
        with self.place.held():
            known = read_terms(self.place)
            declared: dict[str, Captures] = {}
            for model in self._identity.models:
                # What is declared holds until a newer document says otherwise: the server may be away.
                document = documents.get(model)
                declared[model] = document.capture if document else known.models.get(model, ())
            terms = write_terms(self.place, declared)
            sweep(self.place, read_consent(self.place), terms, now.wall)
