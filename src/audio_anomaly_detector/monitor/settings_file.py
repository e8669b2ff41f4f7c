"""Settings from a YAML file; whatever is wrong in it is named with its line."""

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr, Tag, ValidationError

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.settings import shortened

Settings = TypeVar("Settings", bound=BaseModel)
_LONGEST_PROBLEM = 60  # characters of what Python says of a value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: of two machines of one name, one would vanish."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or section cannot be a name", key.start_mark
                )
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"{key.value!r} stands here again, first in line {seen[key.value]}",
                    key.start_mark,
                )
            seen[str(key.value)] = line
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value; one that looks like a date or number and is none is named with its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            problem = f"{one_line(error)[:_LONGEST_PROBLEM]}: put it in quotes if it is a text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read_settings(kind: type[Settings], file: Path) -> Settings:
    """Settings of a class from a YAML file.

    Raises:
        UserError: it cannot be read or is no YAML, an unknown key (with the known ones), a wrong
            value; in one line with the file and the line in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"{file}: cannot read this file ({reason}); give a YAML file") from error
    try:
        root = yaml.compose(text, _Loader)
        tree = yaml.load(text, _Loader)
    except RecursionError as error:
        raise UserError(f"{file}: is nested too deeply; a plant has four levels") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" line {mark.line + 1}:"
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(
            f"{file}:{where} {one_line(problem)}; this must be YAML, with spaces, not tabs"
        ) from error
    if not isinstance(tree, dict):
        raise UserError(
            f"{file}: holds no settings; it needs at least: {', '.join(_required(kind))}"
        )
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{file}: {_first_problem(kind, root, error)}") from error


def _required(kind: type[BaseModel]) -> list[str]:
    return [name for name, field in kind.model_fields.items() if field.is_required()]


def _first_problem(kind: type[BaseModel], root: yaml.Node | None, error: ValidationError) -> str:
    """The first of pydantic's errors, with its line, as the person who wrote the file puts it."""
    first = error.errors()[0]
    line, path = _place(root, first["loc"])
    key, where = ".".join(path), f"line {line}: "
    if first["type"] == "extra_forbidden":
        known = ", ".join(_settings_at(kind, first["loc"][:-1]).model_fields)
        return f"{where}unknown setting '{key}'; known here: {known}"
    if first["type"] == "missing":
        missing = first["loc"][-1]
        return f"{where}'{missing}' is missing{f' in {key!r}' if key else ''}; add it"
    message = first["msg"].removeprefix("Value error, ")
    value = _shown(first["input"], kind, first["loc"])
    return one_line(f"{where}{key or 'the file'}: {message}{value}")


def _shown(value: object, kind: type[BaseModel], location: Sequence[str | int]) -> str:
    """A wrong value as a message repeats it; nothing of sections and of what is secret."""
    if not isinstance(value, str | int | float) or not location:
        return ""
    field = _settings_at(kind, location[:-1]).model_fields.get(str(location[-1]))
    if field is not None and SecretStr in _classes(field.annotation):
        return ""
    return f" (it is {shortened(value)})"


def _place(node: yaml.Node | None, location: Sequence[str | int]) -> tuple[int, list[str]]:
    """The line of a setting, and the keys that lead to it as they stand in the file.

    Names of alternatives (tags), which pydantic puts among the keys, stand in no file and are
    skipped; they must be no keys.
    """
    line, path = 1, []
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    path.append(str(part))
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
            path.append(str(part + 1))
    return line, path


def _settings_at(kind: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    """The class whose settings stand at a place."""
    at: Any = kind
    for part in location:
        if isinstance(at, type) and issubclass(at, BaseModel):
            at = at.model_fields[str(part)].annotation
            continue
        at = _alternative(at, part)
    found = [one for one in _classes(at) if issubclass(one, BaseModel)]
    return found[0] if found else kind


def _alternative(annotation: Any, part: str | int) -> Any:
    """What an annotation allows under a key, a position or the name of an alternative."""
    if get_origin(annotation) is Annotated:
        tags = [one.tag for one in get_args(annotation)[1:] if isinstance(one, Tag)]
        inner = get_args(annotation)[0]
        return inner if part in tags else _alternative(inner, part)
    if get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            tags = [tag.tag for tag in get_args(one)[1:] if isinstance(tag, Tag)]
            if part in tags:
                return get_args(one)[0]
        return annotation
    arguments = get_args(annotation)
    return arguments[-1] if arguments else annotation


def _classes(annotation: Any) -> list[type]:
    """The classes that an annotation names."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [found for one in get_args(annotation) for found in _classes(one)]
