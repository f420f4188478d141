"""The courier: from the outbox to real servers, at least once, whatever they and the process do meanwhile."""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from alert_cases import HMAC_SECRET, NOW, make_alert, make_channel, webhook_to
from answering import Answering, answer, answering
from sqlalchemy import Engine
from standardwebhooks import Webhook

from muster.apply import ledger
from muster.apply.alerts import outbox
from muster.apply.alerts.courier import LONGEST_REST, Courier, Surroundings
from muster.kinds.channel import Channel
from muster.observe.storage import open_storage, writing

SLACK_PATH = "/T000/B000/very-secret"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_storage(tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as server:
        yield server


def courier_of(engine: Engine, *channels: Channel, environ: Mapping[str, str] | None = None) -> Courier:
    opened = (ipaddress.ip_network("127.0.0.0/8"),)
    given = {"MUSTER_ALERT_ONCALL": HMAC_SECRET} if environ is None else environ
    surroundings = Surroundings(Path(engine.url.database or "").parent, given, "urn:muster:controller:1", opened, 0.4)
    courier = Courier(engine, surroundings)
    courier.declare(channels)
    return courier


def put(engine: Engine, *channels: Channel, key: str = "one", subject: str = "meter-reader/1.1.0") -> None:
    with writing(engine) as connection:
        outbox.put(connection, make_alert(key, subject=subject), channels, NOW)


def states(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {
            f"{row['key']} {one['channel']}": one["state"]
            for row in outbox.listed(connection)
            for one in row["deliveries"]
        }


def test_every_channel_gets_its_form(engine: Engine, server: Answering) -> None:
    """Webhook, CloudEvents and Slack-compatible are told of one alert each, and the ledger says so."""
    channels = [
        webhook_to(f"{server.url}/hook", "hook"),
        make_channel("events", {"format": "cloudevents", "url": f"{server.url}/events", "mode": "binary"}),
        make_channel("chat", {"format": "slack", "url": {"environment": "MUSTER_ALERT_SLACK"}}),
    ]
    environ = {"MUSTER_ALERT_ONCALL": HMAC_SECRET, "MUSTER_ALERT_SLACK": server.url + SLACK_PATH}
    put(engine, *channels)
    assert courier_of(engine, *channels, environ=environ).deliver_due(NOW) == 3
    asked = {one.path: one for one in server.asked}
    assert set(asked) == {"/in/hook", "/in/events", f"/in{SLACK_PATH}"}
    hook = asked["/in/hook"]
    assert hook.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    signature = Webhook(HMAC_SECRET).sign(hook.headers["webhook-id"], NOW.replace(tzinfo=None), hook.body.decode())
    assert hook.headers["webhook-signature"] == signature
    assert asked["/in/events"].headers["ce-type"] == "muster.v1.ReleaseSuspended"
    assert "ReleaseSuspended" in json.loads(asked[f"/in{SLACK_PATH}"].body)["text"]
    assert set(states(engine).values()) == {"delivered"}
    with engine.connect() as connection:
        assert [event.event for event in ledger.events(connection)] == ["alerted", *["alert-delivered"] * 3]


def test_a_channel_that_is_down_gets_everything_later(engine: Engine, server: Answering) -> None:
    """It is asked once a round and seldom; when it is back, all of it arrives, in order."""
    channel = webhook_to(server.url)
    for number in range(3):
        put(engine, channel, key=f"key-{number}")
    courier = courier_of(engine, channel)
    server.answers = [answer(503)]
    assert [courier.deliver_due(NOW), courier.deliver_due(NOW)] == [0, 0]
    assert len(server.asked) == 1
    server.answers = [answer(200)]
    server.asked.clear()
    assert courier.deliver_due(NOW + LONGEST_REST) == 3
    assert [json.loads(one.body)["key"] for one in server.asked] == ["key-0", "key-1", "key-2"]


def test_one_channel_does_not_hold_another(engine: Engine, server: Answering) -> None:
    """One that never answers and one without a secret wait; the third is told in the same round."""
    with answering() as silent:
        silent.answers = ["silence"]
        channels = [
            webhook_to(silent.url, "silent"),
            webhook_to(server.url, "good"),
            make_channel("bare", {"format": "slack", "url": {"file": "nowhere"}}),
        ]
        put(engine, *channels)
        assert courier_of(engine, *channels).deliver_due(NOW) == 1
    assert states(engine) == {"one silent": "waiting", "one good": "delivered", "one bare": "waiting"}


def test_a_crash_before_it_is_recorded_sends_again(engine: Engine, server: Answering) -> None:
    """Taken but not written down: sent again under the same id. At least once, and never lost."""
    channel = webhook_to(server.url)
    put(engine, channel)
    courier = courier_of(engine, channel)
    engine.dispose()
    state = Path(engine.url.database or "").parent
    held = open_storage(state)
    with writing(held), pytest.raises(Exception, match="storage refuses"):
        impatient(courier).deliver_due(NOW)
    assert len(server.asked) == 1
    assert courier_of(engine, channel).deliver_due(NOW) == 1
    first, second = server.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    held.dispose()


def impatient(courier: Courier) -> Courier:
    """The same courier, whose storage waits for nobody: as if the process ended at its write."""
    from sqlalchemy import event

    event.listen(courier._engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0"))
    return courier


def test_what_would_be_refused_again_is_a_dead_letter_at_once(engine: Engine, server: Answering) -> None:
    """And holds nobody behind it up."""
    channel = webhook_to(server.url)
    put(engine, channel, key="bad")
    put(engine, channel, key="good")
    server.answers = [answer(413), answer(200)]
    assert courier_of(engine, channel).deliver_due(NOW) == 1
    assert states(engine) == {"bad on-call": "dead", "good on-call": "delivered"}


def test_a_channel_that_is_no_longer_declared(engine: Engine, server: Answering) -> None:
    """What waits for it is a dead letter, and says why; it is not sent to where it was."""
    put(engine, webhook_to(server.url))
    assert courier_of(engine).deliver_due(NOW) == 0
    assert server.asked == []
    with engine.connect() as connection:
        (row,) = outbox.listed(connection, state="dead")
    assert row["deliveries"][0]["lastError"] == "no such channel is declared any more"


def test_a_corrected_url_is_used_for_what_waits(engine: Engine, server: Answering) -> None:
    """What is declared at the moment of sending counts."""
    wrong = webhook_to(f"{server.url}/wrong")
    put(engine, wrong)
    server.answers = [answer(404), answer(200)]
    courier = courier_of(engine, wrong)
    courier.deliver_due(NOW)
    courier.declare([webhook_to(f"{server.url}/right")])
    assert courier.deliver_due(NOW + timedelta(minutes=2)) == 1
    assert [one.path for one in server.asked] == ["/in/wrong", "/in/right"]


def test_no_secret_comes_out(engine: Engine, server: Answering, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor in what is stored, although the server repeats what it got."""
    caplog.set_level(logging.DEBUG)
    channels = [
        webhook_to(server.url),
        make_channel("chat", {"format": "slack", "url": {"environment": "MUSTER_ALERT_SLACK"}}),
    ]
    server.answers = [answer(500, body=f"{HMAC_SECRET} {SLACK_PATH}".encode())]
    environ = {"MUSTER_ALERT_ONCALL": HMAC_SECRET, "MUSTER_ALERT_SLACK": server.url + SLACK_PATH}
    put(engine, *channels)
    assert courier_of(engine, *channels, environ=environ).deliver_due(NOW) == 0
    with engine.connect() as connection:
        stored = json.dumps(outbox.listed(connection)) + str(ledger.events(connection))
    mine = "\n".join(record.getMessage() for record in caplog.records if record.name in ("muster", "httpx"))
    assert "did not reach chat" in mine
    for secret in ("very-secret", HMAC_SECRET.removeprefix("whsec_")):
        assert secret not in stored
        assert secret not in mine


def test_the_thread_delivers_and_ends(engine: Engine, server: Answering) -> None:
    """Started, it delivers by itself; stopped, it is gone."""
    channel = webhook_to(server.url)
    courier = courier_of(engine, channel)
    put(engine, channel)
    courier.start()
    courier.stop()
    assert len(server.asked) == 1
    assert states(engine) == {"one on-call": "delivered"}
