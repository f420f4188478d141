"""work_tree.py: what is read, and what a person is told about a file that is not."""

from __future__ import annotations

import os

import pytest

from muster.kinds.errors import Unusable
from muster.source.work_tree import read_file


def test_a_file_that_is_not_there(tmp_path):
    """The message says where it was looked for, and the hint speaks of its name, not of permissions."""
    for name in ("builders/missing.lock", "file/below"):
        (tmp_path / "file").touch()
        with pytest.raises(Unusable, match=f"no such file in {tmp_path}") as found:
            read_file(tmp_path, name, 10)
        assert found.value.hint == "correct its name, or put the file there"


def test_files_that_are_not_followed_or_opened(tmp_path):
    """A link and a pipe are each named for what they are."""
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unusable, match="it is a symbolic link") as found:
        read_file(tmp_path, "link", 10)
    assert found.value.hint == "put the file itself here"
    with pytest.raises(Unusable, match="not a regular file"):
        read_file(tmp_path, "pipe", 10)


def test_reading_stops_one_byte_after_the_limit(tmp_path):
    """So that a caller can tell a file that is too large from one that fits."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_file(tmp_path, "file", 10)[1] == b"x" * 11
