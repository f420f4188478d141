"""Zstandard (RFC 8878), as the standard library brings it from Python 3.14 on.

Whoever unpacks is given what somebody else wrote: memory is bounded by the window, output by what the caller asks for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from muster.kinds.errors import Refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LARGEST_PREFIX = 2**22
"""Bytes of an older part, and of the newer one, up to which one is told after the other: both are held in memory."""

_LEVEL = 19
_WINDOW = 21
"""2 MiB: what a device holds of the output while it unpacks."""
_LARGEST_WINDOW = 23
"""Covers an older and a newer part of the largest size."""
_PIECE = 2**17


def pack(data: bytes, prefix: bytes | None = None) -> bytes:
    """One frame of `data`, the same for the same version of the library; with `prefix`, as what follows on it."""
    window = _WINDOW if prefix is None else min(_LARGEST_WINDOW, max(10, (len(prefix) + len(data)).bit_length()))
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.compression_level: _LEVEL, parameter.window_log: window}
    dictionary = zstd.ZstdDict(prefix, is_raw=True).as_prefix if prefix else None
    return zstd.compress(data, options=options, zstd_dict=dictionary)


def pack_stream(pieces: Iterable[bytes], most: int) -> bytes:
    """One frame of all pieces, which have at most `most` bytes together, about."""
    if most <= LARGEST_PREFIX:
        # Where the size is known before, a small one costs little.
        return pack(b"".join(pieces))
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.compression_level: _LEVEL, parameter.window_log: _WINDOW}
    compressor = zstd.ZstdCompressor(options=options)
    packed = [compressor.compress(piece) for piece in pieces]
    return b"".join([*packed, compressor.flush(compressor.FLUSH_FRAME)])


class Frame:
    """One frame, unpacked as far as the caller asks. `read(most)` gives its next bytes, b"" at the end."""

    def __init__(self, read: Callable[[int], bytes], prefix: bytes | None = None) -> None:
        self._read = read
        self._decompressor = zstd.ZstdDecompressor(
            zstd_dict=zstd.ZstdDict(prefix, is_raw=True).as_prefix if prefix else None,
            options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW},
        )

    def take(self, length: int) -> bytes:
        """Exactly that many bytes. Raises `Refused` if there are fewer, or the frame is damaged."""
        taken = bytearray()
        while len(taken) < length:
            if self._decompressor.eof:
                raise _damaged("is shorter than declared")
            taken += self._more(length - len(taken))
        return bytes(taken)

    def end(self) -> None:
        """Raises `Refused` unless the frame ends here, and with it what is read."""
        while not self._decompressor.eof:
            if self._more(1):
                raise _damaged("is longer than declared")
        if self._decompressor.unused_data or self._read(1):
            raise _damaged("is followed by something else")

    def _more(self, length: int) -> bytes:
        data = b""
        if self._decompressor.needs_input:
            data = self._read(_PIECE)
            if not data:
                raise _damaged("is cut short")
        try:
            return self._decompressor.decompress(data, length)
        except zstd.ZstdError as error:
            raise _damaged("cannot be unpacked") from error


def _damaged(how: str) -> Refused:
    return Refused(f"a packed part {how}", "publish the artifact again; it is fetched as a whole")
