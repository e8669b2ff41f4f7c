"""What `import audio_anomaly_detector` offers."""

import subprocess
import sys

import audio_anomaly_detector as package


def test_every_public_name_is_there_and_listed() -> None:
    assert dir(package) == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__module__.startswith("audio_anomaly_detector.")


def test_the_types_of_scoring_import_no_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None; "
        "from audio_anomaly_detector import Clip, ClipError, Score, Scorer, ThresholdConfig, "
        "UserError, find_clips, load_scorer"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
