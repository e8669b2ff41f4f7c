"""Documented entry: fit and evaluate every machine id below a folder.

    python src/run_all.py --root PATH --save ./best_models

The same as `aad run-all`, with the three models unless another preset is named.
"""

from functools import wraps
from typing import Any

import typer

from audio_anomaly_detector import cli
from audio_anomaly_detector.cli.configuration import preset_of_scripts

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@program.command()
@wraps(cli.run_all)
def main(**options: Any) -> int:
    """Call the verb, with the scripts' preset."""
    preset = preset_of_scripts(options["preset"], options["config_file"], options["device"])
    return cli.run_all(**{**options, "preset": preset})


if __name__ == "__main__":
    cli.execute(program)
