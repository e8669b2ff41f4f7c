"""Score recordings with an exported detector; needs onnxruntime, soundfile and NumPy alone.

python examples/score_onnx.py model.onnx recording.wav ...
"""

import argparse
import json
import math
import sys

import numpy
import onnxruntime
import soundfile


def main() -> None:
    """Print score and verdict of each recording."""
    parser = argparse.ArgumentParser(description="Score recordings with an exported detector.")
    parser.add_argument("model", help="file written by `aad export`")
    parser.add_argument("recordings", nargs="+", help="audio files")
    arguments = parser.parse_args()
    try:
        session = onnxruntime.InferenceSession(arguments.model, providers=["CPUExecutionProvider"])
        facts = json.loads(session.get_modelmeta().custom_metadata_map["audio_anomaly_detector"])
    except Exception as error:  # ONNX Runtime has a dozen kinds without a common one
        sys.exit(f"{arguments.model}: no exported detector ({type(error).__name__})")
    for name in arguments.recordings:
        try:
            samples, rate = soundfile.read(name, dtype="float32", always_2d=True)  # (T, C)
        except (OSError, soundfile.SoundFileError) as error:
            sys.exit(f"{name}: cannot be read ({error})")
        if rate != facts["sample_rate"]:
            sys.exit(f"{name}: {rate} Hz, the graph takes {facts['sample_rate']}; resample it")
        if samples.shape[1] != facts["microphones"]:
            sys.exit(f"{name}: {samples.shape[1]} channels, not {facts['microphones']}")
        if not facts["min_samples"] <= len(samples) <= facts["max_samples"]:
            shortest, longest = facts["min_samples"] / rate, facts["max_samples"] / rate
            sys.exit(f"{name}: {len(samples) / rate:.2f} s, not {shortest:g} to {longest:g} s")
        score = session.run(["score"], {"waveform": samples.T[None]})[0][0]
        if not math.isfinite(score):
            sys.exit(f"{name}: has no finite score; check its samples")
        # The threshold depends on the length: linear in its logarithm between those calibrated.
        lengths = facts["normal_scores"]
        threshold = numpy.interp(
            math.log(len(samples) / rate),
            [math.log(length["seconds"]) for length in lengths],
            [length["threshold"] for length in lengths],
        )
        print(f"{name}: {score:.4f} {'ANOMALOUS' if score > threshold else 'normal'}")


if __name__ == "__main__":
    main()
