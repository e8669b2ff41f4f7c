"""`aad info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, FAILED


def info(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="Model file, run folder that holds one, or file of `aad export`.",
        ),
    ],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            metavar="",
            help="Only check that each file is whole, fits together and can score noise.",
        ),
    ] = False,
    as_json: options.AsJson = False,
    false_alarms: options.AlarmsInTime = None,
    clips_per_day: options.ClipsPerDay = None,
) -> int:
    """Print what a model file holds: machine, clips, settings, threshold, versions."""
    from audio_anomaly_detector.cli.configuration import changed_threshold
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.errors import UserError
    from audio_anomaly_detector.loading import load_scorer, verify_model

    if verify:
        failed = 0
        for model in models:
            try:
                stdout.print(verify_model(model))
            except UserError as error:
                failed += 1
                typer.echo(f"failed: {error}", err=True)
        return FAILED if failed else DONE
    if len(models) > 1:
        raise UserError("give one model, or --verify to check several")
    scorer = load_scorer(models[0], "cpu")
    decision = changed_threshold(
        scorer.threshold_config, false_alarms=false_alarms, clips_per_day=clips_per_day
    )
    facts = scorer.with_threshold(decision).describe()
    if as_json:
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        import yaml

        stdout.print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True).rstrip())
    return DONE
