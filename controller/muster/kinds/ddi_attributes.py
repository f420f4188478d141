"""Attributes (`configData`) of a DDI client that Muster reads. All others are kept as they are, for people.

| key | what it says |
|---|---|
| `muster.device_class` | the device's class; registers a client that shows the gateway token |
| `muster.label.<key>` | a label, for choosing its cohort; read once, when the client is registered |
| `muster.time_zone` | IANA name of the zone on whose clocks maintenance windows are read; UTC without it |
| `muster.runtime_version` | version of the runtime that the application uses |
| `muster.<model>.model_hash` | digest of the model file that the application loaded |
| `muster.<model>.config_version` | digest of the inference config that it uses |
| `muster.<model>.health` | `ok` if the model answers as it should, else why not |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter, ValidationError

from muster.kinds.digest import Digest, ExactVersion, Name
from muster.kinds.resource import Labels

DEVICE_CLASS: Final = "muster.device_class"
LABEL: Final = "muster.label."
TIME_ZONE: Final = "muster.time_zone"
RUNTIME_VERSION: Final = "muster.runtime_version"
HEALTHY: Final = "ok"
MOST: Final = 100
LONGEST: Final = 128
"""hawkBit's bounds: attributes of one device, and characters of a key or a value."""

_labels: Final = TypeAdapter(Labels)
_exact: Final = TypeAdapter(ExactVersion)
_digest: Final = TypeAdapter(Digest)
_name: Final = TypeAdapter(Name)


def attribute_prefix(model: str) -> str:
    """What the keys about a model begin with."""
    return f"muster.{model}."


def model_hash_key(model: str) -> str:
    """The key under which a client says what it loaded."""
    return f"{attribute_prefix(model)}model_hash"


def config_version_key(model: str) -> str:
    """The key under which a client says which inference config it uses."""
    return f"{attribute_prefix(model)}config_version"


def health_key(model: str) -> str:
    """The key of the second signal."""
    return f"{attribute_prefix(model)}health"


def labels_of(attributes: Mapping[str, str]) -> dict[str, str]:
    """The labels that a client gives itself. Raises `ValueError` for what is no label."""
    found = {key.removeprefix(LABEL): value for key, value in attributes.items() if key.startswith(LABEL)}
    return _labels.validate_python(found)


def complaint(attributes: Mapping[str, str]) -> str | None:
    """What is wrong with the attributes; None if nothing is."""
    if len(attributes) > MOST:
        return f"more than {MOST} attributes"
    for key, value in attributes.items():
        if not key or len(key) > LONGEST or len(value) > LONGEST:
            return f"{key[:LONGEST]}: keys and values have 1 to {LONGEST} characters"
        try:
            _read(key, value)
        except ValidationError as error:
            return f"{key}: {error.errors(include_url=False, include_input=False)[0]['msg']}"
    return None


def _read(key: str, value: str) -> None:
    if key == RUNTIME_VERSION:
        _exact.validate_python(value)
    elif key == DEVICE_CLASS:
        _name.validate_python(value)
    elif key.startswith(LABEL):
        _labels.validate_python({key.removeprefix(LABEL): value})
    elif key.startswith("muster.") and key.endswith((".model_hash", ".config_version")):
        _digest.validate_python(value)
