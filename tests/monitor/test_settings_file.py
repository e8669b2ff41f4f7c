"""Settings from YAML files: what is wrong is named with its line and what is known there."""

from pathlib import Path
from typing import Annotated, Any, Self

import pytest
from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.durations import Duration, in_words
from audio_anomaly_detector.monitor.settings_file import read_settings, wrong_setting


class Square(BaseModel, frozen=True, extra="forbid"):
    square: float = Field(gt=0)


class Circle(BaseModel, frozen=True, extra="forbid"):
    circle: float
    colour: str = "red"


def kind(value: Any) -> str | None:
    return next((f"a {name}" for name in ("square", "circle") if name in value), None)


Shape = Annotated[
    Annotated[Square, Tag("a square")] | Annotated[Circle, Tag("a circle")], Discriminator(kind)
]


class Drawing(BaseModel, frozen=True, extra="forbid"):
    shapes: dict[str, Shape]
    layers: list[Square] = []
    shown_for: Duration = 5.0
    limits: list[int] = Field(default=[], description="in mm")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if len(self.limits) > 1 and self.limits[1] < self.limits[0]:
            raise wrong_setting(("limits", 1), "must not be below the first; raise it")
        return self


def read(folder: Path, text: str) -> Drawing:
    file = folder / "drawing.yaml"
    file.write_text(text)
    return read_settings(Drawing, file)


def test_settings_of_alternatives_and_durations_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, "shapes:\n  a: {circle: 2}\n  b: {square: 1}\nshown_for: 10 min\n")
    assert found.shapes == {"a": Circle(circle=2), "b": Square(square=1)}
    assert found.shown_for == 600


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "shapes:\n  a:\n    circle: 2\n    color: blue\n",
            "line 4: unknown setting 'shapes.a.color'; known here: circle, colour",
        ),
        ("shapes: {}\n? [a, b]\n: 3\n", "line 2: a list or section cannot be a name"),
        ("shapes: {}\nshown_for: 2020-13-45\n", "line 2: month must be in 1..12: put it in quotes"),
        ("shapes: {}\nshown_for: " + "9" * 5000, "line 2: Exceeds the limit"),
        ("shapes: " + "[" * 3000, "is nested too deeply"),
        (
            "shapes:\n  a: {square: 1}\nlayer: []\n",
            "line 3: unknown setting 'layer'; known here: shapes, layers, shown_for, limits",
        ),
        ("shapes:\n  a: {square: -1}\n", "line 2: shapes.a.square: must be more than 0 (it is -1)"),
        ("layers:\n  - square: 1\n  - square: x\nshapes: {}\n", "line 3: layers.2.square: "),
        ("layers: []\n", "line 1: 'shapes' is missing; add it"),
        ("shapes: {}\nshown_for: soon\n", "line 2: shown_for: write a number and a unit"),
        (
            "shapes:\n  a: {square: 1}\n  a: {square: 2}\n",
            "line 3: 'a' stands here again, first in line 2",
        ),
        ("shapes:\n\ta: 1\n", "line 2: "),
        ("shapes:\n  a: [1]\n", "line 2: shapes.a: "),
        ("shapes:\n  a: &a {circle: x}\n  b: {<<: *a}\n", "line 2: shapes.a.circle: must be a nu"),
        (
            "shapes:\n  a: &a {circle: 1}\n  b:\n    <<: *a\n    circle: x\n",
            "line 5: shapes.b.circle: must be a number (it is 'x')",
        ),
        (
            "shapes:\n  a: {circle: 1, colour: on}\n",
            "line 2: shapes.a.colour: must be one text; write it in quotes (it is on)",
        ),
        ("shapes: {}\nlayers: {}\n", "line 2: layers: must be a list: [A, B], or a line each"),
        ("shapes: {}\nlayers:\n- 3\n", "line 3: layers.1: must be a section, its settings indent"),
        (
            "shapes:\n",
            "line 1: shapes: must be a section: lines of 'NAME: value', indented (it has "
            "no value: give one, or remove the line)",
        ),
        ("shapes: {}\nlimits: [5, 1]\n", "line 2: limits.2: must not be below the first"),
        ("# a\n#\0\nshapes: {}\n", "line 2: holds the character '\\x00'; remove it"),
        ("limits: 3\nlimits: 4\n", "first in line 1; give it another name, or remove one of them"),
        ("", "holds no settings; it needs at least: shapes"),
        ("- 1\n", "holds no settings"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, text)
    message = str(raised.value)
    assert says in message
    assert message.startswith(str(tmp_path / "drawing.yaml"))
    assert "\n" not in message


def test_what_a_setting_means_is_said_with_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must be a whole number \(it is 'x'\); meaning: in mm$"):
        read(tmp_path, "shapes: {}\nlimits: [1, x]\n")


def test_every_key_is_a_text(tmp_path: Path) -> None:
    found = read(
        tmp_path, "shapes:\n  3: {circle: 1}\n  on: {circle: 2}\n  2020-01-01: {circle: 3}\n"
    )
    assert list(found.shapes) == ["3", "on", "2020-01-01"]


def test_sections_can_be_repeated_with_changes(tmp_path: Path) -> None:
    text = """
shapes:
  a: &a {circle: 1, colour: red}
  b: &b {<<: *a, circle: 2}
  c: {<<: [*b, *a], colour: blue}
"""
    shapes = read(tmp_path, text).shapes
    assert shapes["b"] == Circle(circle=2, colour="red")
    assert shapes["c"] == Circle(circle=2, colour="blue")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_files_of_other_editors_are_read(tmp_path: Path, begin: str, newline: str) -> None:
    file = tmp_path / "drawing.yaml"
    text = begin + "shapes:\n  ü: {circle: 2}\nlayer: 1\n".replace("\n", newline)
    file.write_bytes(text.encode())
    with pytest.raises(UserError, match="line 3: unknown setting 'layer'"):
        read_settings(Drawing, file)
    file.write_bytes(text.replace("layer: 1", "").encode())
    assert read_settings(Drawing, file).shapes == {"ü": Circle(circle=2)}


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot read this file"):
        read_settings(Drawing, tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"no UTF-8 text\); save it as UTF-8"):
        read_settings(Drawing, tmp_path / "binary.yaml")


def test_a_file_cannot_make_objects(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not determine a constructor"):
        read(tmp_path, "shapes: !!python/object/apply:os.system ['true']\n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "500 ms"), (90, "1.5 min"), (7200, "2 h"), (86_400 * 3, "3 days")]
)
def test_durations_are_told_in_their_largest_unit(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
