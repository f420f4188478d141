"""The attacks on updates that TUF (specification, section 1.5.2) and Uptane name, and what comes of each here.

The table in docs/keys.md is generated from this list; `test_tuf_attacks.py` tries every line of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TUF: Final = "TUF"
UPTANE: Final = "Uptane"


@dataclass(frozen=True)
class Attack:
    """`holds`: what the attacker has beside the mirror. `code`: what the device reports; None: nothing is noticed."""

    source: str
    name: str
    tried: str
    holds: str
    code: str | None
    outcome: str = "keeps what it runs"


ATTACKS: Final = {
    "arbitrary-artifact": Attack(
        TUF, "arbitrary installation", "other bytes in the place of the artifact", "", "bad_digest"
    ),
    "arbitrary-metadata": Attack(
        TUF, "arbitrary installation", "metadata that other keys signed", "keys of its own", "metadata_invalid"
    ),
    "endless-timestamp": Attack(TUF, "endless data", "a timestamp that never ends", "", "server_away"),
    "endless-artifact": Attack(TUF, "endless data", "an artifact that never ends", "", "bad_digest"),
    "extraneous-entry": Attack(
        TUF, "extraneous dependencies", "a desired document with one release more", "", "server_away"
    ),
    "extraneous-file": Attack(
        TUF,
        "extraneous dependencies",
        "an artifact with one file more, published as desired",
        "all TUF keys but the root's, no key that signs artifacts",
        "bad_bundle",
    ),
    "fast-forward": Attack(TUF, "fast-forward", "a timestamp of a version beyond all", "", "metadata_invalid"),
    "fast-forward-stolen": Attack(
        TUF,
        "fast-forward",
        "a timestamp of a version beyond all, rightly signed; then the owner rotates that key",
        "the timestamp's key",
        "metadata_invalid",
        "takes nothing new until the key is rotated; follows again then",
    ),
    "fast-forward-generation": Attack(
        TUF,
        "fast-forward",
        "a document of the last generation that there is, rightly signed; then the owner rotates those keys",
        "all TUF keys but the root's",
        "metadata_invalid",
        "takes nothing new until the keys are rotated; follows again then",
    ),
    "freeze": Attack(
        TUF,
        "indefinite freeze",
        "the files of one moment, for ever",
        "",
        "metadata_expired",
        "keeps what it runs; reported a day after the freeze began, with a wrong clock as well",
    ),
    "mirror-away": Attack(TUF, "malicious mirrors", "404 for every file", "", "server_away"),
    "mirror-garbage": Attack(TUF, "malicious mirrors", "random bytes for every file", "", "metadata_invalid"),
    "mirror-redirect": Attack(TUF, "malicious mirrors", "a redirect to another host", "", "server_away"),
    "mix-and-match-snapshot": Attack(
        TUF, "mix-and-match", "the old snapshot under the name of the new one", "", "metadata_invalid"
    ),
    "mix-and-match-targets": Attack(
        TUF, "mix-and-match", "the old targets under the name of the new ones", "", "metadata_invalid"
    ),
    "rollback": Attack(TUF, "rollback", "all files of an older generation", "", "metadata_invalid"),
    "rollback-stolen": Attack(
        TUF,
        "rollback",
        "a new timestamp and a new snapshot that name the older generation",
        "the snapshot's and the timestamp's key",
        "metadata_invalid",
    ),
    "slow-retrieval": Attack(
        TUF, "slow retrieval", "a byte now and then, for as long as the agent listens", "", "server_away"
    ),
    "key-compromise-online": Attack(
        TUF,
        "vulnerability to key compromises",
        "targets of its own, named by a new snapshot and timestamp",
        "the snapshot's and the timestamp's key",
        "metadata_invalid",
    ),
    "key-compromise-rotated": Attack(
        TUF,
        "vulnerability to key compromises",
        "a whole publication of its own, after the owner rotated the keys",
        "all TUF keys but the root's, of before the rotation",
        "metadata_invalid",
    ),
    "other-class": Attack(
        UPTANE, "mixed bundles", "the document of another device class under this one's name", "", "metadata_invalid"
    ),
    "other-class-signed": Attack(
        UPTANE, "mixed bundles", "the same, rightly signed", "all TUF keys but the root's", "document_invalid"
    ),
    "other-provider": Attack(
        UPTANE,
        "mixed bundles",
        "an artifact for a provider that the device has not, rightly signed",
        "every key but the root's",
        "provider_missing",
    ),
    "other-runtime": Attack(
        UPTANE,
        "mixed bundles",
        "a model that the device's runtime cannot read, rightly signed",
        "every key but the root's",
        "load_failed",
    ),
    "old-under-new": Attack(
        UPTANE,
        "mixed bundles",
        "the old artifact with its signature, declared as the new release",
        "all TUF keys but the root's",
        "bad_manifest",
    ),
    "old-artifact-new-document": Attack(
        UPTANE, "mixed bundles", "the old artifact where the new document's belongs", "", "bad_digest"
    ),
}
"""By a short name."""
