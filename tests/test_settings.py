"""Settings from plain data, independent of what they set."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.settings import merged, parse_override, read_yaml, validated


class Part(BaseModel, frozen=True, extra="forbid"):
    size: int = Field(1, gt=0)
    choice: int | bool = 0


class Whole(BaseModel, frozen=True, extra="forbid"):
    seed: int
    part: Part = Part()


def test_sections_are_merged_key_by_key_and_nothing_is_changed_in_place() -> None:
    base = {"part": {"size": 1, "choice": 0}, "seed": 0}
    assert merged(base, {"part": {"size": 2}}) == {"part": {"size": 2, "choice": 0}, "seed": 0}
    assert merged(base, {"part": None, "more": 1}) == {"part": None, "seed": 0, "more": 1}
    assert base == {"part": {"size": 1, "choice": 0}, "seed": 0}


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("seed=3", {"seed": 3}),
        (" part.size = 2", {"part": {"size": 2}}),
        ("a.b.c=[x, 1]", {"a": {"b": {"c": ["x", 1]}}}),
        ("name=a=b", {"name": "a=b"}),
        ("part=", {"part": None}),
    ],
)
def test_an_override_is_read_as_yaml(text: str, tree: dict[str, Any]) -> None:
    assert parse_override(text) == tree


@pytest.mark.parametrize(("text", "why"), [("seed", "form"), ("=3", "form"), ("a=[", "YAML")])
def test_an_override_of_another_form_is_refused(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        parse_override(text)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"sed": 1, "seed": 1}, "unknown setting 'sed'; known here: seed, part"),
        ({"seed": 1, "part": {"sice": 1}}, "unknown setting 'part.sice'; known here: size, choice"),
        ({"seed": 1, "part": {"size": 0}}, "setting 'part.size' = 0: "),
        ({"seed": 1, "part": 5}, "setting 'part' = 5: this is a section"),
        ({"seed": 1, "part": {"choice": "x"}}, " or "),
        ({}, "setting 'seed' is missing"),
        ({"seed": "x" * 100}, " …: "),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        validated(Whole, tree)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_yaml_file_is_a_mapping_or_empty(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text, tree in (("", {}), ("seed: 1\npart: {size: 2}\n", {"seed": 1, "part": {"size": 2}})):
        file.write_text(text)
        assert read_yaml(file) == tree
    for text, why in (("- 1\n", "a config is a mapping"), ("a: [", "it must be YAML")):
        file.write_text(text)
        with pytest.raises(UserError, match=why):
            read_yaml(file)
    with pytest.raises(UserError, match="cannot read"):
        read_yaml(tmp_path / "missing.yaml")
