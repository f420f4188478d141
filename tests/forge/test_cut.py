"""Cutting texts to what a forge takes."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from muster.forge.cut import NOTE, cut_markdown, cut_text

LINES = st.lists(
    st.sampled_from(
        ["```text", "```", "``` a`b", "~~~~", "~~~", "<details>", "</details>", "x <details open><summary>x"]
    )
    | st.text(max_size=20),
    max_size=40,
)
FILLER = "ä" * 99 + "\n"


@given(st.text(), st.integers(0, 400))
def test_texts_fit(text: str, limit: int) -> None:
    """The result fits if the sign of cutting does, is the text if that fits, and else is its beginning."""
    cut = cut_text(text, limit)
    whole = text.encode(errors="replace").decode()
    if len(whole.encode()) <= limit:
        assert cut == whole
    else:
        assert cut.endswith("…")
        assert whole.startswith(cut[:-1])
        assert len(cut.encode()) <= max(limit, len("…".encode()))


@given(LINES, st.integers(4_100, 4_700))
@example(["</details>", "<details>"], 4_500)
@example(["````text", "```", "~~~~"], 4_500)
def test_markdown_fits_and_closes_what_it_opens(lines: list[str], limit: int) -> None:
    """Cut Markdown keeps whole lines, says that it was cut, and leaves no fence and no fold open."""
    text = "\n".join([*lines, FILLER * 50])
    cut = cut_markdown(text, limit)
    assert len(cut.encode()) <= limit
    kept, note, _ = cut.partition(NOTE)
    assert note
    assert text.startswith(kept.rstrip("`~\n"))
    assert _open_fence(kept) is None
    assert _folds(cut) == 0


@given(LINES)
def test_markdown_that_fits_is_left_alone(lines: list[str]) -> None:
    """Nothing is closed, and nothing noted, where nothing was cut."""
    text = "\n".join(lines)
    assert cut_markdown(text, 40_000) == text


def test_a_long_fence_is_closed_by_one_as_long() -> None:
    """A shorter line inside does not count as its end."""
    text = "``````text\n" + "```\nline\n" * 4_000
    assert cut_markdown(text, 8_000).split("\n")[-3:] == ["``````", "", NOTE]


def test_one_endless_line() -> None:
    """Where no line fits, the note alone stands there."""
    assert cut_markdown("x" * 20_000, 8_000).strip() == NOTE


def _open_fence(text: str) -> str | None:
    """The fence that a reader of CommonMark would still be in, written apart from the code under test."""
    return _read(text)[0]


def _folds(text: str) -> int:
    """Folds outside of fences that are not closed."""
    return _read(text)[1]


def _read(text: str) -> tuple[str | None, int]:
    fence: tuple[str, int] | None = None
    folds = 0
    for line in text.split("\n"):
        bare = line.lstrip(" ")
        run = len(bare) - len(bare.lstrip(bare[:1])) if bare[:1] in {"`", "~"} else 0
        is_fence = run >= 3 and len(line) - len(bare) <= 3 and not (bare[0] == "`" and "`" in bare[run:])
        if fence is not None:
            if is_fence and bare[0] == fence[0] and run >= fence[1] and not bare[run:].strip():
                fence = None
        elif is_fence:
            fence = (bare[0], run)
        else:
            for part in line.lower().split("<")[1:]:
                if part.startswith("details"):
                    folds += 1
                elif part.startswith("/details"):
                    folds = max(0, folds - 1)
    return (fence[0] if fence else None), folds
