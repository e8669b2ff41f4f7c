"""The picture of an explanation, whatever the clip is called."""

import io
import warnings
from pathlib import Path

import pytest
import soundfile

from audio_anomaly_detector import Clip, Detector, load_config
from audio_anomaly_detector.data.clips import MachineKey
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.explaining.picture import draw_explanation
from explaining_sounds import RATE, machine

VERDICT = "anomalous, score 3.38"


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    folder = tmp_path_factory.mktemp("normal")
    clips = []
    for seed in range(6):
        path = folder / f"{seed}.wav"
        soundfile.write(path, machine(seed).T, RATE)
        clips.append(Clip(path, path.name, 0, MachineKey("0_dB_fan", "fan", "id_00")))
    fitted = Detector.fit(clips, load_config("instant"), device="cpu")
    return fitted.detector.explain(machine(99))


@pytest.mark.parametrize(
    "name", ["a" * 250, "W" * 120, "line\nbreak", "folder/" * 200, "\x1b\u202e"]
)
def test_no_name_squeezes_the_maps(explanation: Explanation, name: str, tmp_path: Path) -> None:
    short = draw_explanation(explanation, f"short: {VERDICT}")
    figure = draw_explanation(explanation, f"{name}: {VERDICT}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "named.png")
    short.savefig(tmp_path / "short.png")
    title = figure.axes[0].get_title("left")
    assert VERDICT in title.replace("\n", " ")
    assert title.replace("\n", "").isprintable()
    for axes, usual in zip(figure.axes[:3], short.axes[:3], strict=True):
        assert axes.get_position().width > 0.95 * usual.get_position().width
        assert axes.get_position().height > 0.7 * usual.get_position().height


def test_letters_that_the_font_lacks_are_boxes_without_a_warning(explanation: Explanation) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_explanation(explanation, "機械 Ä.wav: anomalous")
        figure.savefig(io.BytesIO())
    assert figure.axes[0].get_title("left") == "□□ Ä.wav: anomalous"
