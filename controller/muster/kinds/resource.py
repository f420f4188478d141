"""What every declared resource shares: apiVersion, kind, metadata, and the strictness of its fields."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from muster.kinds.digest import Name

API_VERSION: Final = "muster/v1"

Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
LabelKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9./-]{0,61}[a-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]


class Declared(BaseModel):
    """Base of every value that YAML can hold: frozen, strict, camelCase outside, no unknown field."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        # One spelling per value: a resource written out again reads the same.
        serialize_by_alias=True,
        # A validator is built when its kind is first read: a verb pays for the kinds that it meets.
        defer_build=True,
    )


class Metadata(Declared):
    """Who a resource is."""

    name: Name
    description: Text | None = None


class Resource(Declared):
    """One YAML document."""

    api_version: Literal["muster/v1"] = API_VERSION
    metadata: Metadata


def _list_to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# YAML and JSON have lists, frozen values have tuples: the one coercion that strictness must allow.
AsTuple = BeforeValidator(_list_to_tuple)
