"""Where a detector comes from and what was found in the data that it was fitted on."""

from collections.abc import Mapping

from audio_anomaly_detector.data.copies import copies_note
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.provenance import Provenance


def data_problems(origin: Provenance) -> list[str]:
    """What was found in the data that a detector was fitted on, a line each."""
    suspects = [
        f"{name}: looked faulty when the detector was adapted to it, used all the same"
        for adaptation in origin.adaptations
        for name in adaptation.suspects
    ]
    unusable = [f"could not be used: {line}" for line in origin.unusable]
    return [*unusable, *copies_note(origin.copies), *suspects]


def provenance_sections(detector: Detector) -> dict[str, Mapping[str, object]]:
    """What a detector was fitted on and with, by section."""
    origin = detector.provenance
    clips = {record.name: f"SHA-256 {record.sha256}" for record in origin.learned_clips}
    return {
        "Detector": {
            "n_training_clips": len(origin.clips),
            "n_calibration_clips": len(detector.normal_scores.of_usual.scores),
            "recordings or groups of them": origin.groups,
            "microphones": detector.microphones,
            "adaptations": len(origin.adaptations),
            "codebook_perplexity": origin.codebook_perplexity,
        },
        f"Normal clips it was fitted on ({len(clips)})": clips,
        "Versions": {
            "audio-anomaly-detector": origin.version,
            "python": origin.python,
            **origin.packages,
        },
        "Settings": detector.config.model_dump(mode="json"),
    }
