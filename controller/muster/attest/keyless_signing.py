"""Keyless signing: by whoever an identity token names, with a key that is thrown away.

In GitHub Actions the token is asked of the runner; elsewhere it lies in a file. Where to sign is said by a client trust
config (a private instance), or is the public Sigstore instance. What comes out is verified before it is handed over, on
the trusted root of the same config: a server that left something out, such as the time, is found here, not by a gate.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from muster.attest.private_files import read_private
from muster.attest.sigstore_root import Seen, told
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.source.git_program import printable

if TYPE_CHECKING:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.oidc import IdentityToken

LONGEST: Final = 60.0
"""Seconds that the servers have for one signature."""
LARGEST_CONFIG: Final = 1024 * 1024

_WHERE = "in GitHub Actions give the job `permissions: id-token: write`; elsewhere give --identity-token FILE"
_TOKEN = re.compile(r"eyJ[\w-]{8,}(?:[.%][\w.%-]*)?")
"""How every signed token begins, an identity's or a job's (RFC 7519), and whatever follows."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class KeylessSigner:
    """Signs payloads; each call asks for a new certificate. Without `token_file`, the surroundings have the token."""

    token_file: Path | None = None
    trust_config: Path | None = None
    signed_by: list[tuple[str, str]] = field(default_factory=list)
    """Identity and issuer of every certificate so far, as they read."""

    def __call__(self, payload: bytes) -> bytes:
        """The bundle around an in-toto statement.

        Raises `Refused` if the servers or the verifier refuse, `Unusable` for a bad token or config, `TryAgain`.
        """
        config, token = self._config(), self._token()
        bundle, who = _within(LONGEST, lambda: _signed(config, token, payload))
        self.signed_by.append(who)
        return canonical_json(json.loads(bundle.to_json()))

    @property
    def tag(self) -> str:
        """Eight hexadecimal digits that stay the same for one signer. Raises `Unusable`."""
        token = self._token()
        return digest_of(canonical_json([token.identity, token.federated_issuer])).removeprefix("sha256:")[:8]

    def check(self) -> None:
        """Whether there is a token and a config, before an hour of measuring. Raises `Unusable`."""
        self._token()
        if self.trust_config is not None:
            self._config()

    def _token(self) -> IdentityToken:
        from sigstore.oidc import IdentityError, IdentityToken, detect_credential
        from urllib3.exceptions import HTTPError as URLError

        try:
            raw = _read_token(self.token_file) if self.token_file is not None else detect_credential()
            if raw is None:
                raise Unusable("there is no identity token here to sign with", _WHERE)
            return IdentityToken(raw)
        except IdentityError as error:
            raise Unusable(f"no identity token to sign with: {_said(error)}", _WHERE) from error
        except (URLError, UnicodeDecodeError) as error:
            raise Unusable("no identity token to sign with: the job's runner answers something else", _WHERE) from error

    def _config(self) -> ClientTrustConfig:
        from sigstore.models import ClientTrustConfig

        if self.trust_config is None:
            return _within(LONGEST, ClientTrustConfig.production)
        try:
            with self.trust_config.open("rb") as file:
                data = file.read(LARGEST_CONFIG + 1)
        except OSError as error:
            raise Unusable(
                f"cannot read {self.trust_config}: {error.strerror}", "give a client trust config"
            ) from error
        if len(data) > LARGEST_CONFIG:
            raise Unusable(f"{self.trust_config} has more than {LARGEST_CONFIG} bytes", "give a client trust config")
        try:
            return ClientTrustConfig.from_json(data.decode())
        except Exception as error:
            raise Unusable(
                f"{self.trust_config} is not a Sigstore client trust config", "give its JSON file"
            ) from error


def _read_token(path: Path) -> str:
    try:
        return read_private(path).decode("ascii").strip()
    except UnicodeDecodeError:
        raise Unusable(f"{path} holds no identity token", _WHERE) from None
    except Unusable as error:
        raise Unusable(error.message, _WHERE) from error


def _signed(config: ClientTrustConfig, token: IdentityToken, payload: bytes) -> tuple[Bundle, tuple[str, str]]:
    from sigstore.dsse import Statement
    from sigstore.sign import SigningContext
    from sigstore.verify import Verifier

    with SigningContext.from_trust_config(config).signer(token) as signer:
        bundle = signer.sign_dsse(Statement(payload))
    seen = Seen()
    _, signed = Verifier(trusted_root=config.trusted_root).verify_dsse(bundle, seen)
    if signed != payload:
        raise Refused("the bundle is about something else", "try again")
    return bundle, told(seen.certificate)


def _said(error: Exception | str) -> str:
    """What a server says, for a person. It may repeat the token that it was sent, which nobody else is to read."""
    return printable(_TOKEN.sub("(a token)", str(error) or type(error).__name__))[:300]


def _within(seconds: float, work: Callable[[], _T]) -> _T:
    """What `work` returns. Sigstore's client sets no limit on its servers; a thread that hangs dies with the process.

    Raises `TryAgain` if the network does not answer, `Refused` if a server says no.
    """
    results: list[_T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - it is raised again below, in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    if errors:
        raise _named(errors[0]) from errors[0]
    raise TryAgain(f"the Sigstore servers did not answer within {seconds:.0f} s", "try again, or sign with --key")


def _named(error: Exception) -> MusterError:
    from requests.exceptions import ConnectionError as Unreachable
    from requests.exceptions import HTTPError, Timeout
    from sigstore.errors import NetworkError

    if isinstance(error, MusterError):
        return error
    chain: list[Any] = [error]
    while len(chain) < 8 and (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if any(isinstance(one, Unreachable | Timeout | NetworkError) for one in chain):
        return TryAgain("the Sigstore servers cannot be reached", "try again, or sign with --key")
    hint = "see that the token is of an issuer that this instance trusts"
    # Sigstore's client leaves out what the authority answered.
    answers = [one.response for one in chain if isinstance(one, HTTPError) and one.response is not None]
    answer = f": HTTP {answers[0].status_code}: {_said(answers[0].text[:2_000])}" if answers else ""
    return Refused(f"Sigstore did not sign: {_said(error)}{answer}", hint)
