"""Webhooks: only signed ones are read, and they name what to read again, no more."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from github_description import EXAMPLES
from hypothesis import given
from hypothesis import strategies as st

from muster.forge.github.webhooks import LARGEST, Refresh, read_webhook
from muster.kinds.errors import MusterError, Refused, Unusable

SECRET = b"0123456789abcdef0123456789abcdef"
PULL = {"repository": {"full_name": "fleet/meters"}, "pull_request": {"number": 7, "base": {"ref": "main"}}}
PUSH = {"repository": {"full_name": "fleet/meters"}, "ref": "refs/heads/team/topic"}


def signed(body: bytes, secret: bytes = SECRET) -> str:
    """The header that GitHub sends."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def deliver(event: str, value: Any) -> Refresh | None:
    """A delivery with a good signature."""
    body = json.dumps(value).encode()
    return read_webhook(event, body, signed(body), SECRET)


def test_a_signature_as_github_computes_it() -> None:
    """The vector that GitHub publishes for "Hello, World!" holds."""
    secret = b"It's a Secret to Everybody"
    vector = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert read_webhook("ping", b"Hello, World!", vector, secret) is None


def test_events_name_what_to_read_again() -> None:
    """A pull request by its number, a push by its branch; tags, pings and the rest concern nobody."""
    assert deliver("pull_request", PULL) == Refresh("fleet/meters", "main", 7)
    assert deliver("pull_request_review", PULL) == Refresh("fleet/meters", "main", 7)
    assert deliver("push", PUSH) == Refresh("fleet/meters", "team/topic")
    assert deliver("push", {**PUSH, "ref": "refs/tags/v1"}) is None
    assert deliver("ping", {"zen": "x"}) is None
    assert deliver("issues", PULL) is None


BODY = json.dumps(PULL).encode()
FORGED = {
    "no signature": None,
    "empty": "",
    "of another body": signed(BODY + b" "),
    "with another secret": signed(BODY, b"x" * 32),
    "the old kind": "sha1=" + "0" * 40,
    "cut": signed(BODY)[:-1],
    "longer": signed(BODY) + "0",
    "in capitals": signed(BODY).upper(),
    "not ASCII": "sha256=" + "٠" * 64,
}


@pytest.mark.parametrize("signature", FORGED.values(), ids=FORGED)
def test_unsigned_deliveries_are_refused(signature: str | None) -> None:
    """Whoever does not know the secret causes nothing, not even a complaint about the body."""
    with pytest.raises(Refused, match="not signed"):
        read_webhook("pull_request", BODY, signature, SECRET)
    with pytest.raises(Refused, match="not signed"):
        read_webhook("pull_request", b"{", signature, SECRET)


def test_a_short_secret_is_refused() -> None:
    """An empty or guessable one would sign for everybody."""
    for secret in (b"", b"secret"):
        with pytest.raises(Unusable, match="secret"):
            read_webhook("ping", BODY, signed(BODY, secret), secret)


def test_a_large_delivery_is_refused() -> None:
    """It is not even hashed."""
    with pytest.raises(Unusable, match="more than"):
        read_webhook("ping", b"x" * (LARGEST + 1), None, SECRET)


MALFORMED = {
    "no JSON": b"{",
    "deep": b'{"repository":' + b"[" * 100_000,
    "a list": b"[]",
    "no pull request": json.dumps({"repository": {"full_name": "a/b"}}).encode(),
    "a number as text": json.dumps({**PULL, "pull_request": {"number": "7", "base": {"ref": "main"}}}).encode(),
    "a huge number": b'{"repository":{"full_name":"a/b"},"pull_request":{"number":' + b"9" * 5_000 + b"}}",
    "a repository elsewhere": json.dumps({**PULL, "repository": {"full_name": "../../x\u001b"}}).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_deliveries_are_unusable(body: bytes) -> None:
    """Signed, and still not what the event promises: a complaint, no traceback."""
    with pytest.raises(Unusable) as caught:
        read_webhook("pull_request", body, signed(body), SECRET)
    assert caught.value.message.isprintable()


@given(
    st.sampled_from(["pull_request", "push", "pull_request_review"]),
    st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()),
)
def test_no_delivery_raises_anything_else(event: str, body: bytes) -> None:
    """Whatever the bytes: a value, or one of our errors."""
    try:
        read_webhook(event, body, signed(body), SECRET)
    except MusterError:
        return


@pytest.mark.skipif(not EXAMPLES.is_file(), reason="recorded webhooks are not here; `make peers` brings them")
def test_recorded_webhooks() -> None:
    """Every delivery that GitHub's community recorded is read, and those that concern us name what they are about."""
    found: dict[str, set[Refresh | None]] = {}
    for recorded in json.loads(EXAMPLES.read_bytes()):
        for example in recorded["examples"]:
            found.setdefault(recorded["name"], set()).add(deliver(recorded["name"], example))
    assert found["pull_request"] == {Refresh("Codertocat/Hello-World", "master", 2)}
    assert {refresh.number for refresh in found["pull_request_review"] if refresh} == {2}
    assert Refresh("Codertocat/Hello-World", "master") in found["push"]
    assert None in found["push"], "tags"
    concerned = {name for name, refreshes in found.items() if refreshes != {None}}
    assert concerned == {"pull_request", "pull_request_review", "push"}
