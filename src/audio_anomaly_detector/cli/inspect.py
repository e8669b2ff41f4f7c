"""`aad inspect`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, SOME_FAILED


def inspect(
    data: options.Data = None,
    as_json: options.AsJson = False,
    layout: options.Layout = "auto",
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
    join_takes: options.JoinTakes = False,
    write_manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write the clips as read to a manifest, to be corrected and given as DATA.",
        ),
    ] = None,
    data_option: options.DataOption = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Print what was found below DATA: ids, clips, minutes, rates, channels and problems.

    Every clip is decoded; what is found is printed as it comes.
    """
    from audio_anomaly_detector.cli.console import remark, start_logging
    from audio_anomaly_detector.cli.interruption import NOTHING_KEPT
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.recordings import label_patterns
    from audio_anomaly_detector.cli.tables import InspectionTable
    from audio_anomaly_detector.data.inspection import examine
    from audio_anomaly_detector.data.inspection import inspect as inspect_data
    from audio_anomaly_detector.data.layouts import find_clips
    from audio_anomaly_detector.data.manifest import write_manifest as write_clips

    start_logging(verbose, quiet)
    data = options.one_place("DATA", data, data_option)
    patterns = label_patterns(normal, abnormal)
    if write_manifest is not None:
        read = find_clips(data, layout, patterns, join_takes)
        write_clips(write_manifest, read.clips, read.questions)
        remark(f"manifest: {write_manifest}")
    with ProgressDisplay(quiet, interrupted=NOTHING_KEPT) as progress:
        if as_json:
            found = inspect_data(data, layout, None, progress, patterns, join_takes)
            print(json.dumps(asdict(found), indent=2, allow_nan=False))
            return SOME_FAILED if found.problems else DONE
        examination = examine(data, layout, None, progress, patterns, join_takes)
        table = InspectionTable(examination.found)
        for finding in examination.findings:
            with progress.aside():
                table.add(finding)
        return SOME_FAILED if table.finish() else DONE
