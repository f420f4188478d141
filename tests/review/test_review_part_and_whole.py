"""Whatever changes: reading a part of the fleet ends in the same judgement as reading all of it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from muster.check.judgement import Judgement
from muster.kinds.field_state import FieldState
from muster.source.git import Repository
from muster.source.load import Loaded, Loader
from reviews import NOW, Proposal
from scratch_fleet import fleet_files, pin, release_yaml

VERSIONS = tuple(f"{major}.{minor}.0" for major in (1, 2) for minor in range(4))
NUMBERS = {version: number for number, version in enumerate(("0.1.0", *VERSIONS), 100)}
SHARES = ("0%", "5%", "100%")
TIERS = ("research", "production")


class WholeLoader(Loader):
    """Reads the whole fleet wherever a part is asked for."""

    def part(self, repository: Repository, tree: str, models: Collection[str], wanted: Collection[str]) -> Loaded:
        """The fleet of the whole tree."""
        del models, wanted
        return self.commit(repository, tree)


@dataclass(frozen=True)
class Version:
    """What differs between the releases of these fleets."""

    tier: str
    canary: str
    fleet: str
    supersedes: str | None

    def text(self, model: str, version: str) -> str:
        """The file. Every artifact is another."""
        text = release_yaml(version, model=model, cohorts={"canary": self.canary, "fleet": self.fleet})
        head = f"  tier: {self.tier}\n" + (f'  supersedes: "{self.supersedes}"\n' if self.supersedes else "")
        return text.replace("  tier: research\n", head).replace(pin(14), pin(NUMBERS[version]))


releases = st.dictionaries(
    st.tuples(st.sampled_from(("reader", "gauge")), st.sampled_from(VERSIONS)),
    st.builds(
        Version,
        st.sampled_from(TIERS),
        st.sampled_from(SHARES),
        st.sampled_from(SHARES),
        st.none() | st.sampled_from(VERSIONS[:3]),
    ),
    max_size=12,
)
edits = st.dictionaries(
    st.tuples(st.just("reader"), st.sampled_from(VERSIONS)),
    st.none()
    | st.builds(Version, st.sampled_from(TIERS), st.sampled_from(SHARES), st.sampled_from(SHARES), st.just("0.1.0")),
    min_size=1,
    max_size=3,
)


def _files(declared: dict[tuple[str, str], Version]) -> dict[str, str | bytes]:
    """Under them lies a release that everybody has; what a release supersedes is declared, and older."""
    everywhere = Version("production", "100%", "100%", None)
    whole = {(model, "0.1.0"): everywhere for model in ("reader", "gauge")}
    for (model, version), one in sorted(declared.items()):
        known = one.supersedes is None or (model, one.supersedes) in whole
        whole[model, version] = one if known else replace(one, supersedes="0.1.0")
    return {f"releases/{model}/{version}.yaml": one.text(model, version) for (model, version), one in whole.items()}


def _base(declared: dict[tuple[str, str], Version]) -> dict[str, str | bytes]:
    files = fleet_files()
    del files["releases/reader/1.0.0.yaml"]
    policy = str(files["policies/default.yaml"])
    tier = policy[policy.index("    - name: research") :].replace("name: research", "name: production")
    files["policies/default.yaml"] = f"{policy}{tier}      deployable: 2\n      rehearsedWithin: 30d\n"
    files["devices/classes/cam.yaml"] = str(files["devices/classes/cam.yaml"]).replace("[reader]", "[reader, gauge]")
    return files | _files(declared)


def _said(judgement: Judgement) -> tuple[object, ...]:
    blocking = [verdict for verdict in judgement.verdicts if verdict.blocks]
    others = [verdict for verdict in judgement.verdicts if not verdict.blocks and verdict.section != "change"]
    return judgement.change.items, judgement.rows, blocking, others, judgement.approvals, judgement.notes


@given(releases, edits)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate, Phase.shrink]
)
def test_a_part_says_the_same(
    declared: dict[tuple[str, str], Version], changed: dict[tuple[str, str], Version | None]
) -> None:
    """Items, rows, verdicts and approvals are the same; only warnings about files that the change leaves alone may
    be missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        proposal = Proposal(Path(folder) / "fleet", _base(declared))
        texts = {
            f"releases/{model}/{version}.yaml": one.text(model, version) if one else None
            for (model, version), one in changed.items()
            if one is not None or (model, version) in declared
        }
        proposal.change({**texts, "notes.txt": "something else\n"})
        controller = FieldState(NOW, stored=frozenset({pin(100), pin(103)}))
        part = proposal.review(Loader(), controller)

        assert _said(part) == _said(proposal.review(WholeLoader(), controller))
        event(part.outcome)
