"""Checklist, policy tests and trust roots: whether a release, or the policies, still have to prove as much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from muster.check.change import Change, path_of
from muster.check.weakening.looser import GONE, Looser, Weakening, listed, located, shown, unmatched
from muster.kinds.checklist import AnsweredBy, Checklist, Item, Stage
from muster.kinds.finding import Pointer

if TYPE_CHECKING:
    from muster.kinds.policy_test import Expected, PolicyTest, PolicyTestSpec
    from muster.kinds.signing_key import SigningKey
    from muster.kinds.trusted_identity import TrustedIdentity

_STAGES: tuple[str, ...] = get_args(Stage)
_KEYS = "policies/keys/"
_TESTS = "policies/tests/"


def weakened_checklist(base: Checklist | None, head: Checklist | None) -> Iterator[Weakening]:
    """Every item of the base that is gone, or that is asked of fewer, later, or answered in another way."""
    if base is None:
        return
    items = head.spec.items if head else ()
    for found in unmatched(base.spec.items, items, _looser_item, lambda item: item.name):
        old = base.spec.items[found.before]
        about = f"checklist item {old.name}"
        list_of = Pointer(path_of(base), ("spec", "items") if head else ())
        if found.after is None:
            yield Weakening("checklist-item", about, f"asked of {', '.join(old.tiers)}", GONE, list_of)
        for lost in found.looser:
            yield located(lost, about, Pointer(list_of.file, (*list_of.path, found.after or 0)))


def weakened_tests(change: Change) -> Iterator[Weakening]:
    """Every policy test of the base that is gone or expects something else. More expectations are none."""
    before = {path_of(test): test for test in change.base.policy_tests}
    after = {path_of(test): test for test in change.head.policy_tests}
    cases = [(_case(test), test.spec.expect) for test in change.head.policy_tests]
    for path, old in before.items():
        case = _case(old)
        if any(case == other and set(old.spec.expect) <= set(expected) for other, expected in cases):
            continue
        about = f"policy test {old.metadata.name}"
        if path in after:
            yield _changed_test(about, path, old, after[path])
        else:
            yield Weakening("policy-test", about, _expected(old), GONE, Pointer(path))
    unread = [
        file for file in change.touched if file.path.startswith(_TESTS) and file.before and file.path not in before
    ]
    for file in unread:
        if file.before != file.after:
            now = GONE if file.after is None else "another text"
            yield Weakening("policy-test", f"policy test {shown(file.path)}", "declared", now, Pointer(file.path))


def weakened_trust(change: Change) -> Iterator[Weakening]:
    """Every trust root that is new, is another key, or is trusted for more; and one that evidence rested on.

    To trust less is no weakening otherwise. But what a key signed against a release is forgotten together with it.
    """
    before = {key.metadata.name: key for key in change.base.signing_keys}
    after = {key.metadata.name: key for key in change.head.signing_keys}
    for name, trusted in before.items():
        if "evidence" in trusted.spec.uses and (name not in after or "evidence" not in after[name].spec.uses):
            why = "what it signed against a release is not believed any more"
            about = f"trust root {name}"
            yield Weakening("trust-root", about, "trusted for evidence", GONE, Pointer(path_of(trusted)), why)
    for key in change.head.signing_keys:
        old = before.get(key.metadata.name)
        yield from _trusted(old, key)
    yield from _trusted_identities(change)
    for file in change.touched:
        beside = file.path.startswith(_KEYS) and not file.path.endswith(".yaml")
        if beside and file.after is not None and file.before != file.after:
            was = "another text" if file.before else GONE
            yield Weakening("trust-root", f"key file {shown(file.path)}", was, "trusted", Pointer(file.path))


def _trusted_identities(change: Change) -> Iterator[Weakening]:
    before = {identity.metadata.name: identity for identity in change.base.identities}
    for identity in change.head.identities:
        old = before.get(identity.metadata.name)
        path, about = path_of(identity), f"trust root {identity.signer}"
        uses = f"trusted for {listed(identity.spec.uses)}"
        if old is None:
            yield Weakening("trust-root", about, GONE, f"{uses}: {_named(identity)}", Pointer(path))
            continue
        if _named(identity) != _named(old):
            where = Pointer(path, ("spec", "identity"))
            yield Weakening("trust-root", about, _named(old), _named(identity), where)
        if set(identity.spec.uses) - set(old.spec.uses):
            where = Pointer(path, ("spec", "uses"))
            yield Weakening("trust-root", about, f"trusted for {listed(old.spec.uses)}", uses, where)


def _named(identity: TrustedIdentity) -> str:
    return f"{shown(identity.spec.identity)} of {shown(identity.spec.issuer)}"


def _looser_item(old: Item, new: Item) -> tuple[Looser, ...]:
    found = []
    if set(old.tiers) - set(new.tiers):
        found.append(Looser("checklist-tiers", "tiers", ", ".join(old.tiers), ", ".join(new.tiers)))
    if new.answered_by != old.answered_by:
        found.append(
            Looser(
                "checklist-answer", "answeredBy", _answer(old.answered_by), _answer(new.answered_by), "another proof"
            )
        )
    if new.statement != old.statement:
        found.append(
            Looser("checklist-statement", "statement", shown(old.statement), shown(new.statement), "another statement")
        )
    if new.role != old.role:
        found.append(Looser("checklist-role", "role", old.role, new.role, "another role answers for it"))
    if _STAGES.index(new.stage) > _STAGES.index(old.stage):
        found.append(Looser("checklist-stage", "stage", old.stage, new.stage, "asked later"))
    return tuple(found)


def _answer(answered: AnsweredBy) -> str:
    named = (("gate", answered.gate), ("file", answered.file), ("approval", answered.approval))
    return ", ".join(f"{kind} {name}" for kind, name in named if name) or GONE


def _case(test: PolicyTest) -> PolicyTestSpec:
    """What a test is about, without the verdicts that it expects."""
    return test.spec.model_copy(update={"expect": ()})


def _changed_test(about: str, path: str, old: PolicyTest, new: PolicyTest) -> Weakening:
    if old.spec.blocked != new.spec.blocked:
        words = {True: "blocked", False: "let through"}
        where = Pointer(path, ("spec", "blocked"))
        return Weakening("policy-test", about, words[old.spec.blocked], words[new.spec.blocked], where)
    lost = [expected for expected in old.spec.expect if expected not in new.spec.expect]
    if lost:
        where = Pointer(path, ("spec", "expect"))
        return Weakening("policy-test", about, f"expects {_verdicts(lost)}", "does not expect it", where)
    return Weakening(
        "policy-test", about, "one case", "another case", Pointer(path, ("spec",)), "it proves another thing"
    )


def _expected(test: PolicyTest) -> str:
    return f"expects {_verdicts(test.spec.expect)}" if test.spec.expect else "a case that must hold"


def _verdicts(expected: Sequence[Expected]) -> str:
    return ", ".join(f"{shown(one.rule)} {one.outcome}" for one in expected[:5])


def _trusted(old: SigningKey | None, key: SigningKey) -> Iterator[Weakening]:
    path, about = path_of(key), f"trust root {key.metadata.name}"
    uses = f"trusted for {listed(key.spec.uses)}"
    if old is None:
        yield Weakening("trust-root", about, GONE, uses, Pointer(path))
        return
    if (key.spec.public_key.split(), key.spec.scheme) != (old.spec.public_key.split(), old.spec.scheme):
        yield Weakening("trust-root", about, "one key", "another key", Pointer(path, ("spec", "publicKey")))
    if set(key.spec.uses) - set(old.spec.uses):
        before = f"trusted for {listed(old.spec.uses)}"
        yield Weakening("trust-root", about, before, uses, Pointer(path, ("spec", "uses")))
