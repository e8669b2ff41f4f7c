"""`aad explain`: words on the terminal, plain data, and folders to look at and listen to."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bad_clips import write_bad_clips
from command_line import Aad
from synthetic_data import SAMPLE_RATE, hum, knock


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A normal clip and one that knocks twice a second."""
    folder = tmp_path / "new"
    folder.mkdir()
    soundfile.write(folder / "hum.wav", hum(500), SAMPLE_RATE)
    soundfile.write(folder / "knock.wav", knock(501), SAMPLE_RATE)
    return folder


def test_words_for_people(aad: Aad, model: Path, new: Path) -> None:
    result = aad("explain", model, new / "knock.wav")
    assert result.code == 0, result.err
    assert result.out.startswith("knock.wav: ANOMALOUS, score ")
    assert "\n  - " in result.out and "impacts" in result.out
    assert "of the score: " in result.out
    assert "most like the training clip " in result.out


def test_plain_data(aad: Aad, model: Path, new: Path) -> None:
    result = aad("explain", model, new, "--json", "-q")
    assert result.code == 0, result.err
    normal, knocking = json.loads(result.out)
    assert (normal["clip"], knocking["clip"]) == ("hum.wav", "knock.wav")
    assert knocking["findings"] and "maps" not in knocking
    for clip in (normal, knocking):
        assert sum(clip["shares"].values()) == pytest.approx(clip["score"]["score"])


def test_a_folder_for_each_clip(aad: Aad, model: Path, data_root: Path, tmp_path: Path) -> None:
    # The training clips lie beside it.
    clip = next(data_root.rglob("abnormal/*.wav"))
    result = aad("explain", model, clip, "--out", tmp_path / "why")
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "why").iterdir()
    assert str(folder) in result.out.replace("\n", "")
    files = {file.name for file in folder.iterdir()}
    assert files >= {"explanation.json", "map.png", "clip.wav", "unusual.wav"}
    facts = json.loads((folder / "explanation.json").read_text())
    assert facts["clip"] == clip.name and facts["maps"]["fast"]["together"]
    sounds = {file: soundfile.read(folder / file)[0] for file in facts["gains_db"]}
    assert np.abs(np.concatenate(list(sounds.values()))).max() < 1
    loudness = [np.sqrt(np.mean(sound**2)) for sound in sounds.values()]
    assert loudness == pytest.approx([loudness[0]] * len(loudness), rel=0.01)
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


def test_the_nearest_training_clip_is_found_by_its_content(
    aad: Aad, model: Path, data_root: Path, tmp_path: Path
) -> None:
    names = {file.name for file in data_root.rglob("normal/*.wav")}
    machine = next(data_root.rglob("normal")).parents[3]
    clip = next(data_root.rglob("abnormal/*.wav"))
    aad("explain", model, clip, "--out", tmp_path / "a", "-q")
    nearest = json.loads(next(tmp_path.glob("a/*/explanation.json")).read_text())["nearest"][0]
    assert Path(nearest["name"]).name in names and (machine / nearest["name"]).is_file()
    assert next(tmp_path.glob("a/*/nearest.wav"))
    other = tmp_path / "other" / nearest["name"]
    other.parent.mkdir(parents=True)
    soundfile.write(other, hum(77), SAMPLE_RATE)  # of the same name
    soundfile.write(tmp_path / "other" / "new.wav", knock(78), SAMPLE_RATE)
    aad("explain", model, tmp_path / "other/new.wav", "--out", tmp_path / "b", "-q")
    assert not list(tmp_path.glob("b/*/nearest.wav"))


def test_known_rates_are_named(aad: Aad, model: Path, new: Path) -> None:
    said = aad("explain", model, new / "knock.wav", "--rate", "cam=2", "--rpm", "7200")
    assert said.code == 0, said.err
    for wrong in ("cam", "=2", "cam=fast"):
        refused = aad("explain", model, new, "--rate", wrong)
        assert refused.code == 2 and "such as BPFO=87.2" in refused.err
    refused = aad("explain", model, new, "--rpm", "0")
    assert refused.code == 2 and "above 0" in refused.err


def test_bad_clips_are_listed_and_the_others_explained(
    aad: Aad, model: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "good.wav", hum(77), SAMPLE_RATE)
    write_bad_clips(tmp_path)
    result = aad("explain", model, tmp_path)
    assert result.code == 1 and "good.wav: " in result.out and "failed: " in result.err
    assert aad("explain", model, tmp_path, "--on-error=stop").code == 2


def test_hostile_names_stay_in_the_folder(aad: Aad, model: Path, tmp_path: Path) -> None:
    name = "[red] <img onerror=x> ä..wav"
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / name, hum(78), SAMPLE_RATE)
    result = aad("explain", model, tmp_path / "in", "--out", tmp_path / "why")
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "why").iterdir()
    assert not set("[]<> ") & set(folder.name)
    assert json.loads((folder / "explanation.json").read_text())["clip"] == name


def test_a_line_break_in_a_name_is_none_on_the_terminal(
    aad: Aad, model: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "new\nclip.wav", hum(500), SAMPLE_RATE)
    result = aad("explain", model, tmp_path)
    assert result.code == 0, result.err
    assert result.out.startswith("new clip.wav: ")
