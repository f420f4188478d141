"""One byte string per value: the JSON that digests are taken of."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_BEYOND: Final = re.compile("[\U00010000-\U0010ffff]")


def canonical_json(value: Any) -> bytes:
    """Encode `value` with sorted keys, no spaces and no escapes beyond JSON's own.

    Format: RFC 8785, but for numbers: whole ones of any size; floats are refused (`TypeError`), because their text
    differs between languages, and a digest must not.
    """
    _refuse_floats(value)
    text = _dumped(value)
    # The RFC sorts by UTF-16: another order than Python's only where a surrogate pair would stand.
    return (_dumped(_in_order(value), sort=False) if _BEYOND.search(text) else text).encode()


def _dumped(value: Any, *, sort: bool = True) -> str:
    return json.dumps(value, sort_keys=sort, separators=(",", ":"), ensure_ascii=False)


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [_in_order(item) for item in value] if isinstance(value, list | tuple) else value


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"canonical JSON holds no floats, got {value!r}: write a quantity as a string")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"canonical JSON holds string keys only, got {key!r}")
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
