"""Settings from plain data: merging, overrides from the command line, errors in one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from audio_anomaly_detector.errors import UserError

Settings = TypeVar("Settings", bound=BaseModel)


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
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(_fields(kind, first["loc"][:-1]))
            raise UserError(f"unknown setting '{key}'; known here: {known}") from error
        if first["type"] == "model_type":
            known = ", ".join(_fields(kind, first["loc"]))
            raise UserError(
                f"setting '{key}' = {first['input']!r}: this is a section, give its settings, "
                f"such as --set {key}.KEY=VALUE; it holds: {known}"
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        where = f"setting '{key}' = {first['input']!r}: " if key else ""
        raise UserError(f"{where}{message}") from error


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
        raise UserError(f"'{text}' is not of the form part.key=value, e.g. scoring.views=3")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"'{text}': the value is not valid YAML") from error
    for key in reversed(path.strip().split(".")):
        tree = {key: tree}
    return dict(tree)


def _fields(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    model: Any = kind
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
