"""Settings from a YAML file; whatever is wrong in it is named with its line."""

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr, Tag, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.settings import problems_in_words, shortened

Settings = TypeVar("Settings", bound=BaseModel)
_MERGE, _TEXT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
_LONGEST_PROBLEM = 60  # characters of what Python says of a value, and of no text
_SETTING = "setting"  # pydantic's type of the errors of `wrong_setting`
_OWN_WORDS = ("value_error", "kind")  # types of errors whose words are not pydantic's
_OF_SECTIONS = ("missing", "extra_forbidden")  # types of errors that say something of another key


class _RefusedError(yaml.YAMLError):
    """YAML that is valid, but means nothing here.

    Args:
        problem: what is wrong, and what to write.
        node: where.
    """

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem)
        self.line = node.start_mark.line + 1


class _Loader(yaml.SafeLoader):
    """Takes every key for a text, and refuses one that stands twice.

    A machine may be called 3 or on; of two machines of one name, one would vanish.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A section as it stands in the file: what `<<` adds to it comes later."""
        node = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problem = "a list or section cannot be a name; put it in quotes if it is a text"
                raise _RefusedError(problem, key)
            if key.tag == _MERGE:
                continue
            if key.value in seen:
                problem = (
                    f"{key.value!r} stands here again, first in line {seen[key.value]}; give it "
                    "another name, or remove one of them"
                )
                raise _RefusedError(problem, key)
            key.tag, seen[key.value] = _TEXT, line
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value; one that looks like a date or number and is none is named with its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            problem = f"{one_line(error)[:_LONGEST_PROBLEM]}: put it in quotes if it is a text"
            raise _RefusedError(problem, node) from error


def read_settings(kind: type[Settings], file: Path) -> Settings:
    """Settings of a class from a YAML file.

    Raises:
        UserError: it cannot be read or is no YAML, an unknown key (with the known ones), a wrong
            value; in one line with the file and the line in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            reason, remedy = error.strerror, "give a YAML file"
        else:
            reason, remedy = "it is no UTF-8 text", "save it as UTF-8"
        raise UserError(f"{file}: cannot read this file ({reason}); {remedy}") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        tree = None if root is None else loader.construct_document(root)
    except RecursionError as error:
        raise UserError(f"{file}: is nested too deeply; a plant has four levels") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file}:{_no_yaml(text, error)}") from error
    if root is None or not isinstance(tree, dict):
        raise UserError(
            f"{file}: holds no settings; it needs at least: {', '.join(_required(kind))}"
        )
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{file}: {_first_problem(kind, root, error)}") from error


def _required(kind: type[BaseModel]) -> list[str]:
    return [name for name, field in kind.model_fields.items() if field.is_required()]


def wrong_setting(location: Sequence[str | int], problem: str) -> ValidationError:
    """The error of a check that knows better than pydantic where the wrong setting stands.

    Such as of two settings that contradict one another. A validator of a class raises it.

    Args:
        location: keys, and positions in lists, that lead from that class to the setting.
        problem: what is wrong, and what to write.
    """
    kind = PydanticCustomError(_SETTING, "{problem}", {"problem": problem})
    line: InitErrorDetails = {"type": kind, "loc": tuple(location), "input": None}
    return ValidationError.from_exception_data("settings", [line])


def _no_yaml(text: str, error: yaml.YAMLError) -> str:
    """What makes a text no YAML, with its line, and what to do."""
    if isinstance(error, _RefusedError):
        return f" line {error.line}: {one_line(error)}"
    remedy = "this must be YAML, with spaces, not tabs; put texts with signs in quotes"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f" line {line}: holds the character {chr(error.character)!r}; remove it"
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f" line {mark.line + 1}:"
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{where} {one_line(problem)}; {remedy}"


def _first_problem(kind: type[BaseModel], root: yaml.Node, error: ValidationError) -> str:
    """The first of pydantic's errors, with its line, as the person who wrote the file puts it."""
    errors = error.errors()
    first = errors[0]
    place = _place(root, first["loc"])
    key, where = ".".join(place.path), f"line {place.line}: "
    if first["type"] == "extra_forbidden":
        known = _allowed(kind, first["loc"][:-1]).settings
        return f"{where}unknown setting '{key}'; known here: {known}"
    if first["type"] == "missing":
        missing = first["loc"][-1]
        return f"{where}'{missing}' is missing{f' in {key!r}' if key else ''}; add it"
    if first["type"] == _SETTING:
        return one_line(f"{where}{key or 'the file'}: {first['msg']}")
    allowed = _allowed(kind, first["loc"])
    if first["type"] == "model_type":
        problem = "must be a section, its settings indented below it"
        remedy = f"; known here: {allowed.settings}"
    else:
        same = [one for one in errors if _place(root, one["loc"]) == place]
        problem = problems_in_words(one for one in same if one["type"] not in _OF_SECTIONS)
        is_explained = first["type"] in _OWN_WORDS or allowed.description is None
        remedy = "" if is_explained else f"; meaning: {allowed.description}"
    shown = _shown(first["input"], place.node, allowed.annotation)
    return one_line(f"{where}{key or 'the file'}: {problem}{shown}{remedy}")


def _shown(value: object, node: yaml.Node, annotation: Any) -> str:
    """A wrong value as a message repeats it; nothing of sections and of what is secret."""
    if not isinstance(node, yaml.ScalarNode) or SecretStr in _classes(annotation):
        return ""
    if value is None:
        return " (it has no value: give one, or remove the line)"
    # No text, such as a date or yes for true: as it stands in the file.
    written = shortened(value) if isinstance(value, str) else node.value[:_LONGEST_PROBLEM]
    return f" (it is {written})"


class _Place(NamedTuple):
    """Where a setting stands.

    Attributes:
        line: number, from 1.
        path: the keys that lead to it as they stand in the file; positions from 1.
        node: its value.
    """

    line: int
    path: tuple[str, ...]
    node: yaml.Node


def _place(node: yaml.Node, location: Sequence[str | int]) -> _Place:
    """Where a setting stands, or of one that is not there the section that lacks it.

    Names of alternatives (tags), which pydantic puts among the keys, stand in no file and are
    skipped; they must be no keys.
    """
    line, path = 1, []
    for part in location:
        if isinstance(node, yaml.MappingNode):
            # The last counts: what `<<` has added comes first.
            for key, value in reversed(node.value):
                if key.value == part:
                    line, node = key.start_mark.line + 1, value
                    path.append(str(part))
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
            path.append(str(part + 1))
    return _Place(line, tuple(path), node)


class _Allowed(NamedTuple):
    """What may stand at a place.

    Attributes:
        annotation: of its type.
        description: of the setting that it is or belongs to.
    """

    annotation: Any
    description: str | None

    @property
    def settings(self) -> str:
        """Names of the settings that stand below it, if it is a section of settings."""
        sections = [one for one in _classes(self.annotation) if issubclass(one, BaseModel)]
        return ", ".join(sections[0].model_fields) if sections else ""


def _allowed(kind: type[BaseModel], location: Sequence[str | int]) -> _Allowed:
    """What settings of a class allow at a place."""
    at: Any = kind
    description = None
    for part in location:
        if isinstance(at, type) and issubclass(at, BaseModel):
            field = at.model_fields.get(str(part))
            if field is not None:
                at, description = field.annotation, field.description
        else:
            at = _alternative(at, part)
    return _Allowed(at, description)


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
