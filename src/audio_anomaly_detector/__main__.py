"""`python -m audio_anomaly_detector` is `aad`."""

from audio_anomaly_detector.cli import main

main()
