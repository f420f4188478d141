"""What channels get: signed webhooks, CloudEvents in both modes, Slack's form; held against other people's code."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_cases import HMAC_SECRET, NOW, make_alert
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from jsonschema import Draft7Validator, FormatChecker
from standardwebhooks import Webhook, WebhookVerificationError

from muster.apply.alerts.alert import Alert, Measured
from muster.apply.alerts.messages import Message, cloud_event, slack, webhook
from muster.apply.alerts.secrets import hmac_key, read_secret
from muster.kinds.channel import Secret
from muster.kinds.errors import MusterError, Refused, Unusable

KEY = hmac_key(Secret(environment="MUSTER_ALERT_X"), Path(), {"MUSTER_ALERT_X": HMAC_SECRET})
SOURCE = "urn:muster:controller:0123"
SCHEMA = Path(__file__).parents[3] / ".peers" / "apply" / "node_modules" / "cloudevents" / "dist" / "schema" / "v1.js"


def test_the_receivers_library_verifies_a_webhook() -> None:
    """Standard Webhooks' own library takes it, and what it takes is the alert; one changed byte, and it does not."""
    now = datetime.now(UTC)
    message = webhook(make_alert(), KEY, now)
    receiver = Webhook(HMAC_SECRET)
    assert Alert.of_body(receiver.verify(message.content, dict(message.headers))) == make_alert()
    with pytest.raises(WebhookVerificationError):
        receiver.verify(message.content.replace(b"3 of 12", b"0 of 12"), dict(message.headers))
    with pytest.raises(WebhookVerificationError):
        receiver.verify(*_at(webhook(make_alert(), KEY, now - timedelta(hours=1))))


def _at(message: Message) -> tuple[bytes, dict[str, str]]:
    return message.content, dict(message.headers)


def test_the_id_is_the_same_at_every_attempt() -> None:
    """So that whoever gets it twice can tell; another alert has another."""
    first, again = (webhook(make_alert(), KEY, NOW + timedelta(seconds=late)) for late in (0, 60))
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    assert first.headers["webhook-id"] != webhook(make_alert("another"), KEY, NOW).headers["webhook-id"]


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_cloud_events_are_read_back(mode: Any) -> None:
    """The SDK reads the event out of either mode, with every attribute, and its data is the alert."""
    message = cloud_event(make_alert(), SOURCE, mode, None, NOW)
    event = from_http_event(HTTPMessage(dict(message.headers), message.content))
    assert (make_alert().key, SOURCE, "muster.v1.ReleaseSuspended") == (
        event.get_id(),
        event.get_source(),
        event.get_type(),
    )
    assert (event.get_subject(), event.get_time()) == ("meter-reader/1.1.0", NOW)
    assert event.get_extension("severity") == "error"
    data = event.get_data()
    assert Alert.of_body(data if isinstance(data, dict) else json.loads(data)) == make_alert()
    assert "webhook-signature" not in message.headers
    assert all(value.isascii() for value in message.headers.values())


def test_cloud_events_can_be_signed() -> None:
    """With a secret, they are signed as webhooks are, over the body."""
    message = cloud_event(make_alert(), SOURCE, "structured", KEY, datetime.now(UTC))
    Webhook(HMAC_SECRET).verify(message.content, dict(message.headers))


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the CloudEvents schema is not there: run `make peers`")
def test_cloud_events_fit_their_schema() -> None:
    """The structured event is what CloudEvents' published JSON schema allows; without its id it is not."""
    event = json.loads(cloud_event(make_alert(), SOURCE, "structured", None, NOW).content)
    # The package carries the schema as the first constant of the validator that was made of it.
    schema = SCHEMA.read_text().partition("const schema22 = ")[2].partition(";\n")[0]
    validator = Draft7Validator(json.loads(schema), format_checker=FormatChecker())
    assert list(validator.iter_errors(event)) == []
    assert list(validator.iter_errors({name: value for name, value in event.items() if name != "id"}))


def test_slack_shows_everything_and_mentions_nobody() -> None:
    """Text, numbers against bounds, owner, playbook and action are there; `<!channel>` is text."""
    body = json.loads(slack(make_alert()).content)
    (attachment,) = body["attachments"]
    shown = json.dumps(attachment)
    for part in ("3 of 12 devices failed", "bound 5%", "os=14", "no further device", "firmware", "docs/playbooks/x.md"):
        assert part in shown
    assert "canary 100%, fleet 5%" in shown
    assert "<" not in json.dumps(body)
    assert "&lt;!channel&gt;" in attachment["text"]


def test_slack_is_bounded() -> None:
    """Fifty guardrails do not make fifty lines; how many are left out is said."""
    one = Measured(guardrail="g", device_class="c", measured="m", bound="b", devices=1, outcome="harm")
    body = json.loads(slack(make_alert(measured=(one,) * 50)).content)
    assert body["attachments"][0]["text"].count("\n") == 12
    assert "and 40 more guardrails" in body["attachments"][0]["text"]


@pytest.mark.parametrize("text", ["", "short", "whsec_", "whsec_AAAA", "whsec_!!", "whsec_" + "A" * 200, "two words"])
def test_weak_keys_are_refused(text: str) -> None:
    """No key, a short one, no base64: unusable, and not repeated in the message."""
    with pytest.raises(Unusable) as caught:
        hmac_key(Secret(environment="MUSTER_ALERT_X"), Path(), {"MUSTER_ALERT_X": text})
    assert len(text) < 10 or text not in caught.value.message


def test_secrets_in_files(tmp_path: Path) -> None:
    """A file of `alerts/` that only its owner reads; not one that others read, a link, a folder, or none."""
    folder = tmp_path / "alerts"
    folder.mkdir()
    good, open_to_all = folder / "good", folder / "open"
    for file in (good, open_to_all):
        file.write_text("a-secret\n")
    good.chmod(0o600)
    open_to_all.chmod(0o644)
    (folder / "link").symlink_to(good)
    (folder / "folder").mkdir()
    assert read_secret(Secret(file="good"), tmp_path, {}) == "a-secret"
    with pytest.raises(Refused):
        read_secret(Secret(file="open"), tmp_path, {})
    for name in ("link", "folder", "none"):
        with pytest.raises(MusterError):
            read_secret(Secret(file=name), tmp_path, {})


@pytest.mark.parametrize("given", [{"environment": "AWS_SECRET_ACCESS_KEY"}, {"file": "../keys/signing"}, {}])
def test_no_other_secret_can_be_named(given: dict[str, str]) -> None:
    """A declaration reaches only for what is meant for alerts."""
    with pytest.raises(ValueError, match=r"environment|file"):
        Secret.model_validate(given)
