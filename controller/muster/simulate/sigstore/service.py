"""All of a Sigstore behind HTTP on 127.0.0.1, with its tokens and its trust config.

Paths are those that the public instance has. `clocks` may differ, to let a certificate expire before its signature is
logged; keys rotate with `rotate`, and `trusted_root` names the keys of every generation that it is asked for.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from muster.simulate.sigstore.authority import Authority
from muster.simulate.sigstore.material import base64_text, new_key, public_der, sha256
from muster.simulate.sigstore.timestamps import TimestampAuthority
from muster.simulate.sigstore.transparency import TransparencyLog

LARGEST: Final = 1024 * 1024
AUDIENCE: Final = "sigstore"
JOB_TOKEN: Final = "/job/token"  # noqa: S105 - a path
"""Where a CI system's runner hands a job its identity token, as GitHub Actions does."""
RekorVersion = Literal[1, 2]
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clocks:
    """The time as the certificate authority, and as the transparency log and the timestamp authority see it."""

    authority: Clock = _now
    log: Clock = _now


class Generation:
    """One set of keys."""

    def __init__(self, clocks: Clocks) -> None:
        self.authority = Authority(clocks.authority)
        self.log = TransparencyLog(clocks.log)
        self.timestamps = TimestampAuthority(clocks.log)


class Sigstore:
    """A running instance; `generations` run from the oldest to the one that signs."""

    def __init__(self, url: str, clocks: Clocks) -> None:
        self.url, self.issuer = url, f"{url}/oidc"
        self.generations = [Generation(clocks)]
        self._clocks = clocks
        self._token_key = new_key()
        self.job, self.job_secret = "https://ci.example/fleet/workflow.yml@refs/heads/main", secrets.token_hex(16)

    def rotate(self) -> None:
        """From now on, all new keys."""
        self.generations.append(Generation(self._clocks))

    def token(self, identity: str, *, issuer: str | None = None, lives: timedelta = timedelta(minutes=5)) -> str:
        """An identity token, as a CI system would hand it to a job. An address also comes as `email`."""
        now = _now()
        claims = {"iss": issuer or self.issuer, "sub": identity, "aud": AUDIENCE, "iat": now, "exp": now + lives}
        return jwt.encode(
            {**claims, **({"email": identity} if "@" in identity and "://" not in identity else {})},
            self._token_key,
            algorithm="ES256",
        )

    def job_environment(self) -> dict[str, str]:
        """The variables of a job that may ask for a token, as GitHub Actions sets them."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.job_secret,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}{JOB_TOKEN}?",
        }

    def trusted_root(self, generations: Sequence[Generation] | None = None) -> dict[str, Any]:
        """The trusted root with the keys of these generations; by default of all."""
        chosen = self.generations if generations is None else generations
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(public_der(one.log.key)) for one in chosen],
            "ctlogs": [self._log(public_der(one.authority.log_key)) for one in chosen],
            "certificateAuthorities": [self._authority([one.authority.certificate]) for one in chosen],
            "timestampAuthorities": [self._authority(one.timestamps.certificates) for one in chosen],
        }

    def trust_config(self, rekor: RekorVersion) -> dict[str, Any]:
        """The client trust config: where to sign, and the trusted root. With Rekor v1, the log tells the time."""
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [self._service("", 1)],
            "oidcUrls": [self._service("/oidc", 1)],
            "rekorTlogUrls": [self._service("", rekor)],
            "tsaUrls": [self._service("/api/v1/timestamp", 1)] if rekor == 2 else [],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": signing,
        }

    def certify(self, authorization: str, body: bytes) -> dict[str, Any]:
        """Fulcio's answer. Raises `ValueError` or an error of `jwt` for a token or a request that is none of ours."""
        public = self._token_key.public_key()
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, public, algorithms=["ES256"], audience=AUDIENCE)
        pem = base64.b64decode(json.loads(body)["certificateSigningRequest"], validate=True)
        chain = self.generations[-1].authority.certify(x509.load_pem_x509_csr(pem), claims)
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _start(self) -> dict[str, str]:
        return {"start": (_now() - timedelta(days=1)).isoformat()}

    def _log(self, key: bytes) -> dict[str, Any]:
        details = {"rawBytes": base64_text(key), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": self._start()}
        log_id = {"keyId": base64_text(sha256(key))}
        return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": details, "logId": log_id}

    def _authority(self, certificates: Sequence[x509.Certificate]) -> dict[str, Any]:
        chain = [{"rawBytes": base64_text(one.public_bytes(Encoding.DER))} for one in certificates]
        subject = {"organization": "sigstore.example", "commonName": "authority"}
        return {"subject": subject, "uri": self.url, "certChain": {"certificates": chain}, "validFor": self._start()}

    def _service(self, path: str, version: int) -> dict[str, Any]:
        operator = "sigstore.example"
        return {"url": self.url + path, "majorApiVersion": version, "validFor": self._start(), "operator": operator}


class _Handler(BaseHTTPRequestHandler):
    sigstore: Sigstore
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: what went wrong is in the answer."""

    def do_GET(self) -> None:
        """Where an issuer says what it offers, which clients ask even if they have a token; and a job's own token."""
        if self.path.partition("?")[0] == JOB_TOKEN:
            held = self.headers.get("authorization", "") == f"bearer {self.sigstore.job_secret}"
            answer = {"value": self.sigstore.token(self.sigstore.job)} if held else {}
            self._send(200 if held else 403, json.dumps(answer).encode())
            return
        if self.path != "/oidc/.well-known/openid-configuration":
            self._send(404, b"{}")
            return
        issuer = self.sigstore.issuer
        offered = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
        }
        self._send(200, json.dumps(offered).encode())

    def do_POST(self) -> None:
        """One of the four services."""
        try:
            length = min(int(self.headers.get("content-length", "0")), LARGEST)
            answer = self._answer(self.rfile.read(max(length, 0)))
        except Exception as error:  # noqa: BLE001 - whatever a client sends, it is told what was wrong with it
            self._send(400, json.dumps({"message": f"{type(error).__name__}: {error}"}).encode())
        else:
            self._send(404 if answer is None else 201, answer or b"{}")

    def _answer(self, body: bytes) -> bytes | None:
        current = self.sigstore.generations[-1]
        if self.path == "/api/v1/timestamp":
            return current.timestamps.answer(body)
        services: dict[str, Callable[[], dict[str, Any]]] = {
            "/api/v2/signingCert": lambda: self.sigstore.certify(self.headers.get("authorization", ""), body),
            "/api/v1/log/entries": lambda: current.log.add_v1(json.loads(body)),
            "/api/v2/log/entries": lambda: current.log.add_v2(json.loads(body)),
        }
        service = services.get(self.path)
        return None if service is None else json.dumps(service()).encode()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running(clocks: Clocks | None = None, port: int = 0) -> Iterator[Sigstore]:
    """A Sigstore on 127.0.0.1, on a free port unless one is named, for as long as the context lasts."""
    handler = type("_Bound", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        sigstore = Sigstore(f"http://127.0.0.1:{server.server_port}", clocks or Clocks())
        handler.sigstore = sigstore  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield sigstore
        finally:
            server.shutdown()
            thread.join()
