"""Channels: whether somebody is told less than before, or somebody else is told instead."""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.change import path_of
from muster.check.weakening.looser import GONE, Looser, Weakening, listed, located, unmatched
from muster.kinds.channel import Channel
from muster.kinds.finding import Pointer
from muster.kinds.fleet import Fleet


def weakened_channels(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """Every channel of the base that is gone, tells less, or tells another place. A new channel is none."""
    for found in unmatched(base.channels, head.channels, _looser_channel, lambda channel: channel.metadata.name):
        old = base.channels[found.before]
        about, where = f"channel {old.metadata.name}", Pointer(path_of(old))
        if found.after is None:
            yield Weakening("channel", about, f"told of {listed(old.spec.severities)}", GONE, where)
        for lost in found.looser:
            yield located(lost, about, Pointer(where.file, ("spec",)))


def _looser_channel(old: Channel, new: Channel) -> tuple[Looser, ...]:
    before, after = old.spec, new.spec
    lost = []
    if after.target != before.target:
        lost.append(Looser("channel-target", "target", before.target.format, after.target.format, "another place"))
    if set(before.severities) - set(after.severities):
        names = listed(before.severities), listed(after.severities)
        lost.append(Looser("channel-severities", "severities", *names))
    if _narrower(before.reasons, after.reasons):
        names = listed(before.reasons) if before.reasons else "any", listed(after.reasons)
        lost.append(Looser("channel-reasons", "reasons", *names))
    if _narrower(_folded(before.owners), _folded(after.owners)):
        names = listed(before.owners) if before.owners else "any", listed(after.owners)
        lost.append(Looser("channel-owners", "owners", *names))
    return tuple(lost)


def _narrower(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """True if something that was told of is not any more; naming nothing tells of anything."""
    return bool(after) and (not before or bool(set(before) - set(after)))


def _folded(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.casefold() for name in names)
