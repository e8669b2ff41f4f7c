"""Settings from YAML files: what is wrong is named with its line and what is known there."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Discriminator, Field, Tag

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.durations import Duration, in_words
from audio_anomaly_detector.monitor.settings_file import read_settings


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
            "line 3: unknown setting 'layer'; known here: shapes, layers, shown_for",
        ),
        ("shapes:\n  a: {square: -1}\n", "line 2: shapes.a.square: Input should be greater than 0"),
        ("layers:\n  - square: 1\n  - square: x\nshapes: {}\n", "line 3: layers.2.square: "),
        ("layers: []\n", "line 1: 'shapes' is missing; add it"),
        ("shapes: {}\nshown_for: soon\n", "line 2: shown_for: write a number and a unit"),
        (
            "shapes:\n  a: {square: 1}\n  a: {square: 2}\n",
            "line 3: 'a' stands here again, first in line 2",
        ),
        ("shapes:\n\ta: 1\n", "line 2: "),
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


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot read this file"):
        read_settings(Drawing, tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no UTF-8 text"):
        read_settings(Drawing, tmp_path / "binary.yaml")


def test_a_file_cannot_make_objects(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not determine a constructor"):
        read(tmp_path, "shapes: !!python/object/apply:os.system ['true']\n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "500 ms"), (90, "1.5 min"), (7200, "2 h"), (86_400 * 3, "3 days")]
)
def test_durations_are_told_in_their_largest_unit(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
