"""No escape of the list succeeds, at the levels that contain it, as root and as an ordinary user, and each is named."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confined import Script, confined, why_not_nobody
from escapes import ALL, ESCAPES, PRELUDE, SMALL, Escape, filled, shared

from muster.build.sandbox.confinement import Level, Outcome

NOT_NOBODY = why_not_nobody()
WHO = ("tester", "nobody")
_SAME = 6
"""How many with the same trespass share a step: of each only some examples are kept."""
_BURNS = ("an endless loop", "an endless loop that does not listen")
"""A limit of the kernel's that no level changes: seconds of a processor are spent on few of them."""


def tried_by(who: str) -> list[tuple[str, Level]]:
    """What is tried: everything by whoever tests; by nobody what is alone at one level, because limits are the same."""
    found = [(name, level) for name, escape in ESCAPES.items() for level in escape.levels]
    only = Level.LIMITS if who == "tester" else Level.NAMESPACES
    if who == "tester":
        return [(name, level) for name, level in found if name not in _BURNS or level is only]
    return [(name, level) for name, level in found if not ESCAPES[name].alone or level is only]


CASES = [
    pytest.param(
        name,
        level,
        who,
        id=f"{who}-{level.word}-{name}",
        marks=[pytest.mark.skipif(NOT_NOBODY is not None, reason=str(NOT_NOBODY))] if who == "nobody" else [],
    )
    for who in WHO
    for name, level in tried_by(who)
]


@dataclass(frozen=True)
class Surroundings:
    """A folder where anybody may write, with a secret for each escape that anybody may read, and two servers."""

    outside: Path
    port: int
    daemon: socket.socket

    def names(self, name: str, who: str, level: Level) -> dict[str, str]:
        place = f"{list(ESCAPES).index(name)}-{who}-{level.word}"
        secret = self.outside / f"secret-{place}"
        if not secret.exists():
            secret.write_text("the secret")
            secret.chmod(0o666)
        return {
            "secret": str(secret),
            "planted": str(self.outside / f"planted-{place}"),
            "daemon": str(self.outside / "daemon"),
            "port": str(self.port),
        }


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    # Not a folder of pytest's: those are closed to nobody, and what is closed anyway proves nothing here.
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        outside = Path(name)
        outside.chmod(0o777)
        daemon.bind(str(outside / "daemon"))
        daemon.setblocking(False)
        (outside / "daemon").chmod(0o777)
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield Surroundings(outside, server.getsockname()[1], daemon)


def steps(who: str) -> list[tuple[Level, list[str]]]:
    """Which escapes share a step."""
    found: list[tuple[Level, list[str]]] = []
    for level in ALL:
        together: list[list[str]] = []
        for name, at in tried_by(who):
            if at is level and ESCAPES[name].alone:
                found.append((level, [name]))
            elif at is level:
                kind = _trespass(ESCAPES[name])
                room = (names for names in together if Counter(_trespass(ESCAPES[n]) for n in names)[kind] < _SAME)
                fits = next(room, None) if kind else (together or [None])[0]
                if fits is None:
                    together.append([name])
                else:
                    fits.append(name)
        found += [(level, names) for names in together]
    return found


def _trespass(escape: Escape) -> str | None:
    return escape.named[0] if escape.named else None


Tried = dict[tuple[str, Level], tuple[str, Outcome] | str]


@pytest.fixture(scope="module")
def tried(surroundings: Surroundings) -> dict[str, Tried]:
    """By who, name and level: what the escape said and the outcome of its step; or why it could not be held."""
    result = {}
    for who in WHO if NOT_NOBODY is None else ("tester",):
        scripts = []
        for level, names in steps(who):
            texts = [filled(ESCAPES[name].script, surroundings.names(name, who, level)) for name in names]
            alone = ESCAPES[names[0]].alone
            text = PRELUDE + texts[0] if alone else shared(json.dumps([(str(i), t) for i, t in enumerate(texts)]))
            scripts.append(Script(text, level, ESCAPES[names[0]].limits if alone else SMALL))
        said: Tried = {}
        for (level, names), outcome in zip(steps(who), confined(scripts, who), strict=True):
            for number, name in enumerate(names):
                if isinstance(outcome, str):
                    said[name, level] = outcome
                    continue
                seen = outcome.stdout.decode()
                if not ESCAPES[name].alone:
                    seen = seen.partition(f"== {number}\n")[2].partition("\n==")[0]
                said[name, level] = seen, outcome
        result[who] = said
    return result


@pytest.mark.parametrize(("name", "level", "who"), CASES)
def test_no_escape_succeeds(
    name: str, level: Level, who: str, tried: dict[str, Tried], surroundings: Surroundings
) -> None:
    """It gets nothing, changes nothing outside, is over within its limits, and what can be seen of it is named."""
    found = tried[who][name, level]
    if isinstance(found, str):
        pytest.skip(found)
    seen, outcome = found
    escape = ESCAPES[name]
    names = surroundings.names(name, who, level)
    secret = Path(names["secret"])

    assert "ESCAPED" not in seen
    assert "BROKEN" not in seen
    assert seen or escape.alone, (outcome.explain(), outcome.stderr)
    assert outcome.stderr == b""
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("the secret", 0o666)
    assert secret.stat().st_mtime > 1
    assert not os.path.lexists(names["planted"])
    if escape.named:
        trespass, example = escape.named
        wanted = filled(example, names)
        assert [str(one) for one in outcome.attempts if one.trespass == trespass and wanted in one.example], (
            outcome.explain(),
            seen,
        )


def test_no_daemon_was_told_anything(tried: dict[str, Tried], surroundings: Surroundings) -> None:
    """Nothing arrived at the socket that every one of them could have found."""
    assert tried
    with pytest.raises(BlockingIOError):
        surroundings.daemon.recv(1)
