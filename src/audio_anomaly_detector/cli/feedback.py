"""`aad feedback`."""

from typing import TYPE_CHECKING, Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, FAILED
from audio_anomaly_detector.cli.plants import described_plant
from audio_anomaly_detector.errors import UserError, one_line

if TYPE_CHECKING:
    from audio_anomaly_detector.monitor.commands import Answer, Command, Verb
    from audio_anomaly_detector.monitor.plant import Plant

_PATIENCE_S = 120.0  # a running watch may just be fitting its first models


def feedback(
    plant: options.PlantFile,
    machine: Annotated[str, typer.Argument(help="Name of the machine.")],
    normal: Annotated[
        str | None,
        typer.Option(metavar="EVENT", help="This event was normal: such sound is told no more."),
    ] = None,
    fault: Annotated[
        str | None,
        typer.Option(metavar="EVENT", help="This event was a fault: its sound is kept as such."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last --normal back.")] = False,
    maintained: Annotated[
        bool,
        typer.Option("--maintained", help="The machine was changed or repaired: learn it anew."),
    ] = False,
    version: Annotated[
        int | None, typer.Option(help="Judge by this version of the model from now on.")
    ] = None,
    try_only: Annotated[
        bool, typer.Option("--try", help="Only say what --normal would change.")
    ] = False,
    note: Annotated[str, typer.Option(help="Words to keep with it.")] = "",
) -> int:
    """Tell a watch what an event was, or that a machine was changed; it says what that changes.

    Works whether the watch is running or not. The ids of events are listed by `aad events`.
    """
    from audio_anomaly_detector.monitor.commands import Command

    asked: dict[Verb, bool] = {
        "normal": normal is not None,
        "fault": fault is not None,
        "undo": undo,
        "maintained": maintained,
        "version": version is not None,
    }
    verbs = [verb for verb, wanted in asked.items() if wanted]
    if len(verbs) != 1:
        raise UserError(
            "give one of --normal EVENT, --fault EVENT, --undo, --maintained and --version N"
        )
    if try_only and normal is None:
        raise UserError("--try says what --normal would change; give --normal EVENT with it")
    command = Command(verbs[0], machine, normal or fault, version, try_only, note)
    answer = _answer(described_plant(plant), command)
    if not answer.done:
        raise UserError(answer.words[0])
    for words in answer.words:
        typer.echo(one_line(words))
    return DONE if answer.done else FAILED


def _answer(described: "Plant", command: "Command") -> "Answer":
    """Of the running watch or, where none runs, of this process."""
    from audio_anomaly_detector.files import is_held
    from audio_anomaly_detector.monitor.commands import ask

    if is_held(described.data):
        return ask(described.data, command, _PATIENCE_S)
    from audio_anomaly_detector.monitor.watch import Watch

    watching = Watch(described)
    try:
        with watching.held():
            return watching.carry_out(command)
    finally:
        watching.close()
