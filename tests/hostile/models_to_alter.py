"""The intact models of a campaign, and the clips that they score."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import soundfile

from audio_anomaly_detector import Detector, find_clips, load_config
from audio_anomaly_detector.loading import load_scorer
from hostile.sounds import CHANNELS, SECONDS
from synthetic_data import SAMPLE_RATE, TINY, hum, knock

FORMATS = Path(__file__).parents[1] / "formats"  # a model file of every earlier format
LENGTH = f"audio.length={round(SECONDS * SAMPLE_RATE)}"


class Models(NamedTuple):
    """Model files.

    Attributes:
        today: as this version writes them; the first scores the recordings of the campaign.
        past: of earlier formats.
        graphs: exported; none without the extra `onnx`.
        clips: folder with two clips for every number of microphones.
    """

    today: list[Path]
    past: list[Path]
    graphs: list[Path]
    clips: dict[int, Path]

    def clips_of(self, model: Path | None) -> Path:
        """The clips that a model scores, or an altered one that came of it."""
        if model is None or model not in self.past:
            return self.clips[CHANNELS]
        microphones = load_scorer(model, "cpu").describe()["microphones"]
        return self.clips[microphones]


def make_models(folder: Path, small_graph: bool = False) -> Models:
    """Fit the models: half a minute, most of it for the graph.

    Args:
        folder: for models and clips.
        small_graph: export a detector of one family, which takes some seconds.
    """
    normal = folder / "data" / "normal"
    normal.mkdir(parents=True)
    for seed in range(20):
        soundfile.write(normal / f"{seed}.wav", hum(seed, CHANNELS, SECONDS), SAMPLE_RATE)
    clips = find_clips(normal.parent).clips
    instant = Detector.fit(clips, load_config("instant", overrides=(LENGTH,))).detector
    networks = Detector.fit(clips, load_config("small", overrides=(*TINY, LENGTH))).detector
    instant.save(folder / "instant.pth")
    networks.save(folder / "networks.pth")
    graphs = []
    if find_spec("onnxruntime") is not None:
        from audio_anomaly_detector.export.write import export_onnx

        exported = instant
        if small_graph:
            level = load_config("instant", overrides=(LENGTH, "scoring.families=[level]"))
            exported = Detector.fit(clips, level).detector
        graphs.append(export_onnx(exported, folder / "graph.onnx", max_seconds=10).path)
    return Models(
        [folder / "instant.pth", folder / "networks.pth"],
        sorted(FORMATS.glob("*.pth")),
        graphs,
        {channels: _clips(folder / f"clips-{channels}", channels) for channels in (1, 2)},
    )


def _clips(folder: Path, channels: int) -> Path:
    folder.mkdir()
    for name, make in (("hum", hum), ("knock", knock)):
        soundfile.write(folder / f"{name}.wav", make(700, channels, SECONDS), SAMPLE_RATE)
    return folder
