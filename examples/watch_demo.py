"""A quarter of an hour of a synthetic fan whose bearing fails, and a plant file to watch it with.

Run by `make demo-watch`. The recording is read faster than it would be heard.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

from audio_anomaly_detector.synthesis.data_set import Site, SyntheticConfig
from audio_anomaly_detector.synthesis.faults import FAULTS

PIECE_S = 10
NORMAL, FAULTY = 72, 12  # pieces
KINDS = len(FAULTS["fan"].tuning)
SNR_DB = 6

PLANT = """\
site: Demo hall
sources:
  recording:
    file: fan.wav
machines:
  fan-1:
    source: recording
"""


def main(folder: Path) -> None:
    """Write `fan.wav` and `plant.yaml`.

    Args:
        folder: created if it is missing.
    """
    config = SyntheticConfig(
        machines=("fan",), channels=1, seconds=PIECE_S, severity=(0.9, 1.0), seed=3
    )
    site = Site(config, "fan", 0)
    pieces = [site.render("normal", number).mix(SNR_DB) for number in range(NORMAL)]
    # Faults come by turns: always the same one.
    pieces += [site.render("abnormal", KINDS * number).mix(SNR_DB) for number in range(FAULTY)]
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "fan.wav", np.concatenate(pieces), config.sample_rate)
    (folder / "plant.yaml").write_text(PLANT, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
