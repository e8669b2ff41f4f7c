"""The command `aad`: one file for each verb; arguments in, calls out, nothing else.

Only options and their types are imported at the top: what a verb needs is imported when it runs.
"""

import sys
from importlib.metadata import version as package_version
from typing import Annotated

import typer

from audio_anomaly_detector.cli.adapt import adapt
from audio_anomaly_detector.cli.alerts import alerts
from audio_anomaly_detector.cli.benchmark import benchmark
from audio_anomaly_detector.cli.decisions import decisions
from audio_anomaly_detector.cli.evaluate import evaluate
from audio_anomaly_detector.cli.events import events
from audio_anomaly_detector.cli.exit_codes import FAILED
from audio_anomaly_detector.cli.explain import explain
from audio_anomaly_detector.cli.explanations import explanations
from audio_anomaly_detector.cli.export import export
from audio_anomaly_detector.cli.feedback import feedback
from audio_anomaly_detector.cli.fit import fit
from audio_anomaly_detector.cli.info import info
from audio_anomaly_detector.cli.inspect import inspect
from audio_anomaly_detector.cli.interruption import (
    answer,
    end_as_usual,
    end_on_signals,
    finish_results,
    guard_streams,
    signals_prevail,
)
from audio_anomaly_detector.cli.pretrain import pretrain
from audio_anomaly_detector.cli.run_all import run_all
from audio_anomaly_detector.cli.score import score
from audio_anomaly_detector.cli.silence import silence
from audio_anomaly_detector.cli.synth import synth
from audio_anomaly_detector.cli.watch import watch
from audio_anomaly_detector.errors import Interrupted, UserError, one_line

DEBUG = "--debug"
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="aad",
    help="Learns the normal sound of a machine and says of any recording how anomalous it is.\n\n"
    "Start with `aad inspect DATA`, then `aad fit DATA --id ID` and `aad score MODEL FILES`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)
verbs = (
    *(inspect, synth, fit, evaluate, score, explain, adapt, export, info, run_all),
    *(watch, events, feedback, silence),
    *(benchmark, decisions, explanations, alerts, pretrain),
)
for verb in verbs:
    app.command(verb.__name__.replace("_", "-"))(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(package_version("audio-anomaly-detector"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(DEBUG, metavar="", help="Show the traceback of an error; may stand anywhere."),
    ] = False,
) -> None:
    """Options of all verbs; `execute` takes --debug out itself."""


def execute(program: typer.Typer) -> None:
    """Run a command line program and leave with its exit code; errors are one line each.

    The option --debug may stand anywhere: errors of the program then show their traceback.
    """
    debug = DEBUG in sys.argv
    sys.argv[:] = [argument for argument in sys.argv if argument != DEBUG]
    try:
        end_on_signals()
        guard_streams()
        _refuse_empty(sys.argv[1:])
        with signals_prevail():
            code = program(standalone_mode=False)
        finish_results()
    except Interrupted as interruption:
        code = answer(interruption)
    except UserError as error:
        if debug:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        code = FAILED
    except typer.TyperException as error:  # wrong usage
        message = error.format_message().replace("Value error, ", "")  # says pydantic
        if message:  # without any argument the help has been printed, and that is all
            print(f"error: {one_line(message.rstrip('.'))}. See --help.", file=sys.stderr)
        code = FAILED
    except Exception as error:
        if debug:
            raise
        print(
            f"error: {type(error).__name__}: {one_line(error)}; this is a fault of the program: "
            f"run it again with {DEBUG} and report what it prints",
            file=sys.stderr,
        )
        code = FAILED
    finally:
        end_as_usual()
    sys.exit(code)


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse '' as an argument: as a path it would mean the folder that one is in."""
    for argument in arguments:
        option, _, value = argument.partition("=")
        if not argument or (option.startswith("--") and "=" in argument and not value):
            raise UserError(
                f"{option or 'an argument'} is empty (''); give a value, or leave it out: is a "
                "variable of the shell not set?"
            )


def main() -> None:
    """Entry point of the command `aad`."""
    execute(app)
