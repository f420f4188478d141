"""Reading what a build needs from a fleet's folder: one release, its lock, device classes and cohorts.

A build judges no fleet: other releases may be wrong. What is read is checked as `muster check` checks it, with places.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from muster.kinds.cohort import Cohort
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused, Unusable
from muster.kinds.fleet import AnyResource
from muster.kinds.release import Release
from muster.source.validate import validate
from muster.source.work_tree import read_file, walk
from muster.source.yaml_events import MAX_BYTES, Document, YamlFault, parse

MAX_FINDINGS: Final = 20

_Model = TypeVar("_Model", bound=BaseModel)
_Resource = TypeVar("_Resource", Release, DeviceClass, Cohort)


def locate_release(name: str, folder: Path) -> tuple[Path, str]:
    """A fleet's folder, and the path of a release file in it, for a file name or `<model>/<version>`.

    A file lies at `<fleet>/releases/<model>/<version>.yaml`; a name is looked up in `folder`. Raises `Unusable`.
    """
    if not name.endswith((".yaml", ".yml")):
        name = str(folder / "releases" / f"{name}.yaml")
    # Not resolved: the file itself may be no symbolic link (see `read_file`), the folders above are the caller's.
    path = Path(os.path.abspath(name))  # noqa: PTH100 - Path.absolute keeps `..`
    if len(path.parts) < 4 or path.parts[-3] != "releases":
        raise Unusable(f"{name} is no release file", "name releases/<model>/<version>.yaml, or <model>/<version>")
    return path.parents[2], str(path.relative_to(path.parents[2]))


def read_release(folder: Path, path: str) -> Release:
    """The release at `path` in a fleet's folder. Raises `Refused` with the places of what is wrong, `Unusable`."""
    release = _read(folder, path, Release)
    if path != release.path:
        raise Refused(f"{path} declares {release.name}", f"name it {release.path}")
    return release


def read_device_classes(folder: Path) -> dict[str, DeviceClass]:
    """Device classes of a fleet by name; empty if it declares none."""
    return {item.metadata.name: item for item in _read_all(folder, "devices/classes", DeviceClass)}


def read_cohorts(folder: Path) -> tuple[Cohort, ...]:
    """Cohorts of a fleet in their order; empty if it declares none."""
    return tuple(sorted(_read_all(folder, "devices/cohorts", Cohort), key=lambda cohort: cohort.spec.order))


def read_value(path: Path, kind: type[_Model]) -> _Model:
    """A YAML file that holds one value, such as an inference config. Raises `Refused` with places, `Unusable`."""
    _, data = read_file(path.parent, path.name, MAX_BYTES)
    document = _parse(str(path), data)
    try:
        return kind.model_validate_json(json.dumps(document.data), by_alias=True, by_name=False)
    except ValidationError as error:
        lines = [_line(str(path), document, one["loc"], one["msg"]) for one in error.errors()[:MAX_FINDINGS]]
        raise Refused("\n".join(lines), f"see the kind {kind.__name__} in schemas/") from error


def read_bounded(folder: Path, path: str, limit: int) -> bytes:
    """A regular file of at most `limit` bytes. Raises `Unusable`."""
    _, data = read_file(folder, path, limit)
    if len(data) > limit:
        raise Unusable(f"{path} has more than {limit} bytes", "name another file: this one is not of the expected kind")
    return data


def _read_all(folder: Path, where: str, kind: type[_Resource]) -> list[_Resource]:
    paths = [entry.path for entry in walk(folder, [where]) if entry.path.endswith((".yaml", ".yml"))]
    return [_read(folder, path, kind) for path in paths]


def _read(folder: Path, path: str, kind: type[_Resource]) -> _Resource:
    _, data = read_file(folder, path, MAX_BYTES)
    found: AnyResource | list[object] = validate(path, kind, _parse(path, data))  # type: ignore[assignment]
    if isinstance(found, list):
        raise Refused("\n".join(str(finding) for finding in found[:MAX_FINDINGS]), "run `muster check`")
    if not isinstance(found, kind):
        raise Refused(f"{path} declares a {found.kind}", f"declare a {kind.__name__} there")
    return found


def _parse(path: str, data: bytes) -> Document:
    try:
        return parse(data)
    except YamlFault as fault:
        line, column = fault.spot
        raise Refused(f"{path}:{line}:{column}: {fault.message}", fault.hint) from fault


def _line(file: str, document: Document, path: tuple[str | int, ...], message: str) -> str:
    line, column = document.spot(path)
    return f"{file}:{line}:{column}: {'.'.join(map(str, path))}: {message}"
