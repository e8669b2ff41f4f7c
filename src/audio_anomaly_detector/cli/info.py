"""`aad info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE


def info(
    model: Annotated[
        Path,
        typer.Argument(help="Model file, run folder that holds one, or file of `aad export`."),
    ],
    as_json: options.AsJson = False,
) -> int:
    """Print what a model file holds: machine, clips, settings, threshold, versions."""
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.loading import load_scorer

    facts = load_scorer(model, "cpu").describe()
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        import yaml

        stdout.print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True).rstrip())
    return DONE
