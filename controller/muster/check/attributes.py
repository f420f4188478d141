"""Files that tell git how to show, filter or fetch other files: they can hide a change from who reviews it.

Nothing here ever runs what they name. But `-diff` and `linguist-generated` fold a file away in a review, a filter
changes what a checkout holds, and a submodule brings in what nobody judged. So a change of them is a weakening.
"""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.change import Change
from muster.check.verdict import Verdict
from muster.kinds.finding import Pointer

_NAMES = (".gitattributes", ".gitmodules")


def attribute_verdicts(change: Change) -> Iterator[Verdict]:
    """A weakening for every such file that differs, at any depth."""
    for file in change.touched:
        if file.path.rpartition("/")[2].lower() in _NAMES:
            before, after = ("absent" if blob is None else blob[:12] for blob in (file.before, file.after))
            yield Verdict(
                rule="weakening/attributes",
                subject=file.path,
                outcome="fail",
                message=f"{file.path} tells git how to show, filter or fetch files: {before} → {after}",
                hint="leave it as it is, or let the policy owners approve it",
                where=Pointer(file.path),
            )
