"""A transparency log entry from its binary form, which gitsign puts into signatures, to the JSON form of bundles.

The messages are those of Sigstore's `sigstore_rekor.proto`; only the fields that they have stand here, by number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_PACKAGE: Final = "muster.log_entry"
_TYPES: Final = descriptor_pb2.FieldDescriptorProto
_MESSAGES: Final[dict[str, tuple[tuple[str, int, int | str, bool], ...]]] = {
    # message: (field, number, type or message, repeated)
    "LogId": (("key_id", 1, _TYPES.TYPE_BYTES, False),),
    "KindVersion": (("kind", 1, _TYPES.TYPE_STRING, False), ("version", 2, _TYPES.TYPE_STRING, False)),
    "Checkpoint": (("envelope", 1, _TYPES.TYPE_STRING, False),),
    "InclusionPromise": (("signed_entry_timestamp", 1, _TYPES.TYPE_BYTES, False),),
    "InclusionProof": (
        ("log_index", 1, _TYPES.TYPE_INT64, False),
        ("root_hash", 2, _TYPES.TYPE_BYTES, False),
        ("tree_size", 3, _TYPES.TYPE_INT64, False),
        ("hashes", 4, _TYPES.TYPE_BYTES, True),
        ("checkpoint", 5, "Checkpoint", False),
    ),
    "TransparencyLogEntry": (
        ("log_index", 1, _TYPES.TYPE_INT64, False),
        ("log_id", 2, "LogId", False),
        ("kind_version", 3, "KindVersion", False),
        ("integrated_time", 4, _TYPES.TYPE_INT64, False),
        ("inclusion_promise", 5, "InclusionPromise", False),
        ("inclusion_proof", 6, "InclusionProof", False),
        ("canonicalized_body", 7, _TYPES.TYPE_BYTES, False),
    ),
}


def log_entry_json(data: bytes) -> dict[str, Any]:
    """The entry as a bundle holds it. Raises `google.protobuf.message.DecodeError`."""
    entry = log_entry_type()()
    entry.ParseFromString(data)
    found: dict[str, Any] = json_format.MessageToDict(entry, always_print_fields_with_no_presence=True)
    return found


@lru_cache(maxsize=1)
def log_entry_type() -> Any:
    """The class of `TransparencyLogEntry` messages."""
    file = descriptor_pb2.FileDescriptorProto(name="muster/log_entry.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = message.field.add(name=field, number=number)
            added.label = _TYPES.LABEL_REPEATED if repeated else _TYPES.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type = _TYPES.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.TransparencyLogEntry"))
