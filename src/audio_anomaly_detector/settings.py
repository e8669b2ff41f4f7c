"""Settings from plain data: merging, overrides from the command line, errors in one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from audio_anomaly_detector.errors import UserError, without_passwords

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Settings = TypeVar("Settings", bound=BaseModel)
_LONGEST_VALUE = 60  # characters of a wrong value that a message repeats


def validated(kind: type[Settings], tree: Mapping[str, Any]) -> Settings:
    """Settings from plain data.

    Args:
        kind: the config class.
        tree: its fields.

    Raises:
        UserError: unknown key (with the known ones) or bad value, in one line.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise UserError(_first_problem(kind, error.errors())) from error


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some changed; sections are merged key by key."""
    result = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def read_yaml(file: Path) -> dict[str, Any]:
    """The sections of a YAML file; an empty file holds none.

    Raises:
        UserError: it cannot be read or is no mapping.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file}: cannot read this config ({reason}); it must be YAML") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{file}: a config is a mapping of parts, e.g. 'scoring: {{views: 3}}'")
    return content


def parse_override(text: str) -> dict[str, Any]:
    """``part.key=value`` as nested settings, the value read as YAML.

    Raises:
        UserError: not of that form.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UserError(f"{text!r} is not of the form part.key=value, e.g. scoring.views=3")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"{text!r}: the value is not valid YAML") from error
    for key in reversed(path.strip().split(".")):
        tree = {key: tree}
    return dict(tree)


def _first_problem(kind: type[BaseModel], errors: Sequence["ErrorDetails"]) -> str:
    """The first of pydantic's errors, as the person who typed the setting would put it."""
    first = errors[0]
    section, path = _deepest_section(kind, first["loc"])
    known = ", ".join(section.model_fields)
    if first["type"] in ("extra_forbidden", "invalid_key"):
        key = ".".join(map(str, first["loc"][: len(path) + 1]))
        return f"unknown setting '{key}'; known here: {known}"
    key, value = ".".join(path), first["input"]
    if first["type"] == "model_type":
        return (
            f"setting '{key}' = {shortened(value)}: this is a section, give its settings, "
            f"such as --set {key}.KEY=VALUE; it holds: {known}"
        )
    if first["type"] == "missing":
        return f"setting '{'.'.join(map(str, first['loc']))}' is missing"
    field = first["loc"][len(path)] if len(first["loc"]) > len(path) else None
    if field is not None:
        key = ".".join((*path, str(field)))
    # One field of several types has an error for each of them.
    same = [one for one in errors if one["loc"][: len(path) + 1] == first["loc"][: len(path) + 1]]
    messages = dict.fromkeys(one["msg"].removeprefix("Value error, ") for one in same)
    where = f"setting '{key}' = {shortened(value)}: " if key else ""
    return where + " or ".join(messages)


def _deepest_section(
    kind: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[type[BaseModel], list[str]]:
    """The innermost section on the way to a setting, and the names that lead to it."""
    path: list[str] = []
    for part in location:
        field = kind.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            break
        if not issubclass(field.annotation, BaseModel):
            break
        kind = field.annotation
        path.append(str(part))
    return kind, path


def shortened(value: object) -> str:
    """A wrong value as a message repeats it, without passwords of addresses."""
    text = without_passwords(repr(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"
