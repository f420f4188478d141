"""The cases of TUF's public client conformance suite (theupdateframework/tuf-conformance), by its files and names.

The table in docs/keys.md is generated from this list; `test_tuf_conformance` and `test_tuf_conformance_roles` try it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


TESTS: Final = {
    "test_basic.py": _same(
        "test_basic_refresh_requests",
        "test_basic_refresh_trusted_data",
        "test_implicit_refresh",
        "test_invalid_initial_root",
        "test_unsigned_initial_root",
        "test_unsigned_metadata",
        "test_url_and_metadata_version_mismatch",
        "test_timestamp_content_changes",
        "test_basic_metadata_hash_support",
        "test_metadata_bytes_match",
        "test_custom_fields",
        "test_deprecated_keyid_hash_algorithms",
        "test_snapshot_404",
        "test_targets_404",
        "test_timestamp_404",
        "test_incorrect_metadata_type",
        "test_faketime",
    ),
    "test_rollback.py": _same(
        "test_simple_snapshot_rollback",
        "test_new_timestamp_version_rollback",
        "test_snapshot_rollback",
        "test_new_targets_fast_forward_recovery",
        "test_new_snapshot_fast_forward_recovery",
        "test_new_timestamp_fast_forward_recovery",
        "test_new_snapshot_version_mismatch",
        "test_targets_rollback",
    ),
    "test_keys.py": _same(
        "test_root_meets_threshold_but_snapshot_does_not",
        "test_snapshot_threshold",
        "test_duplicate_keys_root",
        "test_keytype_and_scheme",
    ),
    "test_expiration.py": _same("test_root_expired")
    | dict.fromkeys(("test_timestamp_expired", "test_snapshot_expired", "test_targets_expired"), "test_expired")
    | dict.fromkeys(("test_expired_local_root", "test_expired_local_timestamp"), "test_expired_local"),
    "test_file_download.py": dict.fromkeys(
        ("test_client_downloads_expected_file", "test_client_downloads_expected_file_in_sub_dir"),
        "test_client_downloads_expected_file",
    )
    | _same(
        "test_repository_substitutes_target_file",
        "test_multiple_changes_to_target",
        "test_download_with_hash_algorithms",
        "test_download_with_unknown_hash_algorithm",
    ),
    "test_updater_key_rotations.py": _same("test_root_rotation", "test_non_root_rotations"),
    "test_updater_delegation_graphs.py": _same("test_graph_traversal", "test_targetfile_search"),
    "test_quoting_issues.py": _same("test_unusual_role_name"),
    "test_delegated_expiration.py": _same("test_delegated_targets_expired")
    | dict.fromkeys(
        ("test_expired_local_delegated_targets", "test_expired_local_delegated_targets_updates"),
        "test_expired_local_delegated_targets",
    ),
}
"""File of the suite → its tests → ours."""

NOT_OURS: Final = {
    ("test_static_repositories.py", "test_static_repository"): (
        "reads files that come with the suite, made by other publishers; what ours publishes is read by two clients"
    ),
}


@dataclass(frozen=True)
class Signed:
    """A role's keys and threshold, and which keys sign; a digit for each. `holds`: whether it is to be taken."""

    keys: str
    threshold: int
    by: str
    holds: bool = True


ROOT_ROTATIONS: Final = {
    "one key, replaced": (Signed("1", 1, "1"), Signed("2", 1, "21"), Signed("2", 1, "2")),
    "one key, replaced, among signatures that count for nothing": (
        Signed("1", 1, "314"),
        Signed("2", 1, "3214"),
        Signed("2", 1, "324"),
    ),
    "3 of 5, signed by others each time": (
        Signed("01234", 3, "024"),
        Signed("01234", 3, "041"),
        Signed("01234", 3, "013"),
        Signed("01234", 3, "013"),
    ),
    "3 of 5, one replaced": (Signed("01234", 3, "024"), Signed("01345", 3, "041")),
    "3 of 5, one replaced, with a step between": (
        Signed("01234", 3, "024"),
        Signed("01345", 3, "0245"),
        Signed("01345", 3, "045"),
    ),
    "3 of 5, all replaced, with a step between": (
        Signed("01234", 3, "024"),
        Signed("56789", 3, "024567"),
        Signed("56789", 3, "567"),
    ),
    "threshold from 1 to 2 of 3": (Signed("123", 1, "1"), Signed("123", 2, "12")),
    "threshold from 2 to 1 of 3": (Signed("123", 2, "12"), Signed("123", 1, "12"), Signed("123", 1, "1")),
    "from one key to 2 of 2": (Signed("1", 1, "1"), Signed("12", 2, "12")),
    "not signed by the old key": (Signed("1", 1, "1"), Signed("2", 1, "234", holds=False)),
    "not signed by the new key": (Signed("1", 1, "1"), Signed("2", 1, "134", holds=False)),
    "not signed by 3 new keys": (Signed("01234", 3, "024"), Signed("01345", 3, "024", holds=False)),
    "not signed by 3 old keys": (Signed("01234", 3, "024"), Signed("01345", 3, "045", holds=False)),
    "new threshold not reached": (Signed("123", 1, "1"), Signed("123", 2, "2", holds=False)),
    "old threshold not reached": (Signed("123", 2, "12"), Signed("123", 1, "1", holds=False)),
}

NON_ROOT_ROTATIONS: Final = {
    "one key, replaced": Signed("2", 1, "2"),
    "among signatures that count for nothing": Signed("1", 1, "314"),
    "not signed by the new key": Signed("2", 1, "134", holds=False),
    "3 of 5, one signature of another key": Signed("01345", 3, "024", holds=False),
    "3 of 5, one signature missing": Signed("01345", 3, "04", holds=False),
    "3 of 5, first of five choices": Signed("01234", 3, "024"),
    "3 of 5, second": Signed("01234", 3, "041"),
    "3 of 5, third": Signed("01234", 3, "013"),
    "3 of 5, fourth": Signed("01234", 3, "123"),
    "3 of 5, fifth": Signed("01234", 3, "234"),
}

DELEGATION_GRAPHS: Final = {
    "one": (("T>A",), "A"),
    "one level": (("T>A", "T>B"), "AB"),
    "two levels": (("T>A", "T>B", "B>C"), "ABC"),
    "two levels, depth first": (("T>A", "T>B", "A>C", "A>D"), "ACDB"),
    "three levels, depth first": (("T>A", "T>B", "A>C", "C>D"), "ACDB"),
    "two levels, ended": (("T>A", "T>B", "A>C!", "A>D"), "AC"),
    "three levels, ended": (("T>A", "T>B", "A>C!", "C>D"), "ACD"),
    "two levels, other paths": (("T>A:*.py", "T>B", "A>C"), "B"),
    "three levels, other paths": (("T>A", "T>B", "A>C:*.py", "C>D"), "AB"),
    "a cycle": (("T>A", "T>B", "B>C", "C>D", "D>B"), "ABCD"),
    "two to a third": (("T>A", "T>B", "B>C", "A>C"), "ACB"),
    "two to a third, other paths": (("T>A", "T>B", "B>C", "A>C:*.py"), "ABC"),
}
"""Delegations (see `delegated` of the tests), and the roles that are asked for a target that is not there, in order."""
