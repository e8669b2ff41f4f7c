"""`aad inspect`."""

import json
from dataclasses import asdict

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, SOME_FAILED


def inspect(
    data: options.Data = None,
    as_json: options.AsJson = False,
    layout: options.Layout = "auto",
    data_option: options.DataOption = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Print what was found below DATA: ids, clips, minutes, rates, channels and problems."""
    from audio_anomaly_detector.cli.console import start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.tables import print_inspection
    from audio_anomaly_detector.data.inspection import inspect as inspect_data

    start_logging(verbose, quiet)
    data = options.one_place("DATA", data, data_option)
    with ProgressDisplay(quiet) as progress:
        found = inspect_data(data, layout, progress=progress)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print_inspection(found)
    return SOME_FAILED if found.problems else DONE
