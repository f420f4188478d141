"""One POST to a real server: what counts as taken, and that nothing it does holds the sender or misleads it."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import logging
import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest
from alert_cases import make_alert
from answering import Answering, answer, answering
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from muster.apply.alerts.destination import Network, destinations, parse_url
from muster.apply.alerts.messages import slack
from muster.apply.alerts.sending import LARGEST_ANSWER, NotTaken, Outcome, Taken, judged, post
from muster.kinds.errors import Refused, Unusable

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SECONDS = 0.4


def send(url: str, opened: tuple[Network, ...] = LOOPBACK, seconds: float = SECONDS) -> Outcome:
    return asyncio.run(post(parse_url(url), slack(make_alert()), opened, seconds))


def sent_to(given: bytes | str) -> tuple[Outcome, Answering]:
    with answering() as server:
        server.answers = [given]
        return send(server.url), server


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_what_counts_as_taken(status: int) -> None:
    """A whole answer of 200 to 299."""
    outcome, server = sent_to(answer(status, body=b"" if status == 204 else b"ok"))
    assert outcome == Taken()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "final"),
    [(500, False), (503, False), (429, False), (401, False), (404, False), (400, True), (410, True)],
)
def test_what_does_not(status: int, final: bool) -> None:
    """Other answers do not; only what would be refused again in the same way is not tried again."""
    outcome, _ = sent_to(answer(status))
    assert outcome == NotTaken(f"answered {status}", final=final)


def test_the_pause_that_is_asked_for_is_known() -> None:
    """Retry-After in seconds is passed on; anything else in it is not believed."""
    outcome, _ = sent_to(answer(429, "retry-after: 120\r\n"))
    assert isinstance(outcome, NotTaken)
    assert outcome.again == timedelta(seconds=120)
    assert judged(503, "Wed, 21 Oct 2026 07:28:00 GMT") == judged(503, "9" * 400) == NotTaken("answered 503")


@pytest.mark.parametrize("way", ["silence", "drip", "half", "reset", "nonsense"])
def test_bad_answers_are_not_taken_and_hold_nothing_up(way: str) -> None:
    """Silence, headers that never end, half an answer, a reset, no HTTP: not taken, tried again, in bounded time."""
    started = time.monotonic()
    outcome, server = sent_to(way)
    assert isinstance(outcome, NotTaken)
    assert not outcome.final
    assert time.monotonic() - started < SECONDS + 2
    assert len(server.asked) == 1


def test_a_huge_answer_is_not_read() -> None:
    """Said yes, and then more than anybody needs: taken, without reading all of 640 MB."""
    started = time.monotonic()
    outcome, _ = sent_to("huge")
    assert outcome == Taken()
    assert LARGEST_ANSWER < 10**6
    assert time.monotonic() - started < 2


def test_redirects_are_not_followed() -> None:
    """Neither to another host nor to the same one; nobody else is asked."""
    with answering() as other, answering() as server:
        for place in (other.url, server.url):
            server.answers = [answer(307, f"location: {place}\r\n")]
            outcome = send(server.url)
            assert isinstance(outcome, NotTaken)
            assert outcome.final
            assert "redirects are not followed" in outcome.why
        assert (other.asked, len(server.asked)) == ([], 2)


def test_nobody_there() -> None:
    """A port that nobody listens on is no error of the program."""
    with answering() as server:
        url = server.url
    assert isinstance(send(url), NotTaken)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "https://127.0.0.1:1/",
        "https://[::1]:1/",
        "https://10.1.2.3/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://localhost/",
        "https://224.0.0.1/",
        "http://93.184.216.34/",
    ],
)
def test_the_network_within_is_not_reached(url: str) -> None:
    """No private, local or wrapped address, and no plain http, unless the operator opened that network."""
    with pytest.raises(Refused):
        asyncio.run(destinations(parse_url(url), ()))


def test_what_the_operator_opened_and_no_more() -> None:
    """An opened network is reached by either scheme; its neighbour is not."""
    opened = (ipaddress.ip_network("10.1.0.0/16"),)
    assert asyncio.run(destinations(parse_url("http://10.1.2.3:8080/x"), opened))[0].host == "10.1.2.3:8080"
    assert asyncio.run(destinations(parse_url("https://93.184.216.34/"), ()))[0].url.host == "93.184.216.34"
    with pytest.raises(Refused):
        asyncio.run(destinations(parse_url("https://10.2.2.3/"), opened))


@pytest.mark.parametrize("url", ["ftp://host/", "https://user:pw@host/", "https://", "no url", "https://host/#part"])
def test_urls_that_are_none(url: str) -> None:
    """They are refused, and do not come back in the message: they may be secrets."""
    with pytest.raises(Unusable) as caught:
        parse_url(url)
    assert url not in caught.value.message


def test_a_refused_place_is_not_asked() -> None:
    """The check comes before the connection."""
    with answering() as server:
        assert isinstance(send(server.url, ()), NotTaken)
        assert server.asked == []


def _identity(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime.now(dt.UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.mark.parametrize(("name", "taken"), [("localhost", True), ("elsewhere.example", False)])
def test_the_certificate_is_that_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, taken: bool
) -> None:
    """It is the address that is connected to, and the URL's name that the certificate must show."""
    certificate, key = _identity(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    opened = (*LOOPBACK, ipaddress.ip_network("::1/128"))
    with answering(context) as server:
        outcome = send(server.url, opened, 3)
    assert (outcome == Taken()) is taken
    if taken:
        assert server.asked[0].headers["host"].startswith("localhost:")
    else:
        assert outcome == NotTaken("the connection failed: the certificate does not fit")
        assert server.asked == []


def test_no_url_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The URL of a Slack-compatible channel is a secret, and libraries like to log URLs."""
    caplog.set_level(logging.INFO)
    with answering() as server:
        send(f"{server.url}/T000/B000/very-secret")
        assert server.asked[0].path == "/in/T000/B000/very-secret"
    assert "very-secret" not in caplog.text
