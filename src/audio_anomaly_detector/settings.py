"""Settings from plain data: merging, overrides from the command line, errors in one line."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from audio_anomaly_detector.errors import UserError, without_passwords

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Settings = TypeVar("Settings", bound=BaseModel)
_LONGEST_VALUE = 60  # characters of a wrong value that a message repeats
# What a wrong value must be, by pydantic's type of the error; with the limits that it names.
_PROBLEMS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a section: lines of 'NAME: value', indented",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "list_type": "must be a list: [A, B], or a line each that begins with '- '",
    "literal_error": "must be {expected}",
    "path_type": "must be one path; write it in quotes",
    "string_too_long": "must have no more than {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be one text; write it in quotes",
    "too_long": "must have no more than {max_length} entries",
    "too_short": "must not be empty; give one at least",
    "tuple_type": "must be a list: [A, B], or a line each that begins with '- '",
}


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
            f"such as {key}.KEY=VALUE; it holds: {known}"
        )
    if first["type"] == "missing":
        return f"setting '{'.'.join(map(str, first['loc']))}' is missing"
    field = first["loc"][len(path)] if len(first["loc"]) > len(path) else None
    if field is not None:
        key = ".".join((*path, str(field)))
    # One field of several types has an error for each of them.
    same = [one for one in errors if one["loc"][: len(path) + 1] == first["loc"][: len(path) + 1]]
    where = f"setting '{key}' = {shortened(value)}: " if key else ""
    return where + problems_in_words(same)


def problems_in_words(errors: Iterable["ErrorDetails"]) -> str:
    """What is wrong with one value and what to write, of all of pydantic's errors on it.

    A value that may be of several types has an error for each of them.
    """
    words: list[str] = []
    for error in errors:
        text = error["msg"].removeprefix("Value error, ")
        if error["type"] in _PROBLEMS:
            text = _PROBLEMS[error["type"]].format(**error.get("ctx", {}))
        words.append(text.removeprefix("must be ") if words else text)
    return " or ".join(dict.fromkeys(words))


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
