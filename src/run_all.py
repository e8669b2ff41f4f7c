"""Documented entry: fit and evaluate every machine id below a folder.

    python src/run_all.py --root PATH --save ./best_models

The same as `aad run-all`.
"""

import typer

from audio_anomaly_detector import cli

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
program.command()(cli.run_all)

if __name__ == "__main__":
    cli.execute(program)
