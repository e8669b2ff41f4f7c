"""`aad watch`."""

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, SOME_FAILED
from audio_anomaly_detector.cli.plants import described_plant
from audio_anomaly_detector.errors import Interrupted, UserError, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from audio_anomaly_detector.monitor.event import Event
    from audio_anomaly_detector.monitor.machine_config import MachineConfig
    from audio_anomaly_detector.monitor.plant import Plant
    from audio_anomaly_detector.monitor.status import Status

log = logging.getLogger(__name__)


def watch(
    plant: options.PlantFile,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only check the file and the models in it, and whether sources answer."
        ),
    ] = False,
    status: Annotated[
        bool,
        typer.Option(
            "--status", help="Show how the running watch is; exit code 1: something is wrong."
        ),
    ] = False,
    as_json: options.AsJson = False,
    log_form: Annotated[
        Literal["text", "json"],
        typer.Option("--log", help="Form of the log on standard error."),
    ] = "text",
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Listen to machines for as long as it runs: learn how they sound, tell what is unusual.

    PLANT is a YAML file that names sources of sound, machines, and where events are sent. What is
    learned and found is kept in its `data` folder: end the program and start it again at any time.
    """
    described = described_plant(plant)
    if status:
        return _show_status(described, as_json, quiet)
    _start_log(log_form, verbose, quiet)
    if check:
        return _check(described)
    try:
        return _run(described, quiet)
    except Interrupted:
        # How a watch ends: everything is kept, and it goes on when it is started again.
        return DONE


def _run(described: "Plant", quiet: bool) -> int:
    """Watch until a signal comes or every source has ended."""
    from audio_anomaly_detector.cli.console import err, out
    from audio_anomaly_detector.monitor.sinks.message import message
    from audio_anomaly_detector.monitor.watch import Watch

    # Standard output may be one of the sinks.
    console = err if "lines" in described.sink_kinds else out

    def tell(event: "Event") -> None:
        title, body = message(event.to_dict(), described.site, described.time_zone)
        console.print(f"{event.level.upper():7} {title}")
        for line in body.splitlines()[2:]:
            console.print(f"        {line}")
        if event.phase == "new" and event.folder is not None:
            console.print(f"        sound and picture: {described.events_folder / event.folder}")
        console.print(f"        id {event.id}")

    watching = Watch(described, lambda event: None if quiet else tell(event))
    try:
        with watching.running():
            log.info(_begun(described))
            while watching.step():
                pass
    finally:
        watching.close()
    log.info("every source has ended")
    return DONE


def _begun(described: "Plant") -> str:
    machines, sources = len(described.machines), len(described.sources)
    return (
        f"watching {machines} machine{'s' * (machines > 1)} through {sources} "
        f"source{'s' * (sources > 1)}; what is found is kept in {described.data}"
    )


def _check(described: "Plant") -> int:
    """Open every source once, and every sink as far as that goes without sending."""
    from audio_anomaly_detector.cli.console import out
    from audio_anomaly_detector.monitor.sinks.sink import Site

    failed = 0
    for name, config in described.sources.items():
        try:
            source = config.make()
            connection = source.open()
        except UserError as error:
            failed += 1
            out.print(f"source {name}: {one_line(error)}")
            continue
        # Of files each has its own.
        what = f"{connection.sample_rate} Hz, {connection.channels} channel(s)"
        out.print(f"source {name}: {what if source.live else 'can be read'}")
        connection.close()
    site = Site(described.site, described.time_zone, tuple(described.machines))
    for name, sink in zip(described.sink_names, described.sinks, strict=True):
        try:
            sink.make(site).close()
        except UserError as error:
            failed += 1
            out.print(f"sink {name}: {one_line(error)}")
    for name, machine in described.machines.items():
        try:
            model = _model_in_words(machine)
        except UserError as error:
            failed += 1
            out.print(f"machine {name}: {one_line(error)}")
            continue
        out.print(f"machine {name}: heard by {machine.source}, {model}")
    problem = _data_problem(described.data)
    failed += problem is not None
    out.print(f"data: {problem or described.data}")
    return SOME_FAILED if failed else DONE


def _model_in_words(machine: "MachineConfig") -> str:
    """What judges a machine at first; loads a model that is given."""
    if machine.model is None:
        return f"preset {machine.preset}"
    from audio_anomaly_detector.loading import load_detector
    from audio_anomaly_detector.monitor.given import description

    return description(machine.model, load_detector(machine.model, "cpu"))


def _data_problem(folder: "Path") -> str | None:
    """Why a folder could not be written, without making it."""
    place = next(one for one in (folder, *folder.parents) if one.exists())
    if not place.is_dir():
        return f"{place} is a file; name another folder as `data`"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} may not be written; allow it, or name another folder as `data`"
    return None


def _show_status(described: "Plant", as_json: bool, quiet: bool) -> int:
    import json
    import time
    from dataclasses import asdict

    from audio_anomaly_detector.cli.console import out
    from audio_anomaly_detector.files import is_held
    from audio_anomaly_detector.monitor.status import read_status

    status = read_status(described.data)
    held = False
    with suppress(UserError):  # another user may read the status all the same
        held = is_held(described.data)
    problems = status.problems(time.time(), held)
    if as_json:
        typer.echo(json.dumps({**asdict(status), "problems": problems}, indent=2))
        return SOME_FAILED if problems else DONE
    if not quiet:
        _print_status(status)
    for problem in problems:
        out.print(f"problem: {problem}")
    return SOME_FAILED if problems else DONE


def _print_status(status: "Status") -> None:
    from rich.table import Table

    from audio_anomaly_detector.cli.console import out
    from audio_anomaly_detector.monitor.durations import in_words

    sources = Table("source", "state", "heard", "lost", "reconnected", "age of sound", box=None)
    for source in status.sources:
        age = "" if source.age_s is None else in_words(source.age_s)
        sources.add_row(
            source.name,
            source.state,
            in_words(source.heard_s),
            in_words(source.lost_s),
            str(source.restarts),
            age,
        )
    out.print(sources)
    machines = Table("machine", "phase", "state", "model", "over threshold", "event", box=None)
    for machine in status.machines:
        machines.add_row(
            machine.name,
            machine.phase,
            machine.state,
            "" if machine.model is None else str(machine.model),
            "not judged" if machine.height is None else f"{machine.height:+.2f}",
            machine.event or "",
        )
    out.print(machines)
    for machine in status.machines:
        # While it is learned, the reason is one of the notes.
        for note in dict.fromkeys([*machine.notes, *([machine.reason] if machine.reason else [])]):
            out.print(f"{machine.name}: {note}")
    middle, late = status.delay_s
    out.print(
        f"{status.windows} windows in {in_words(max(status.at - status.started, 0))}, "
        f"{status.unjudged} not judged; verdicts come {middle:.1f} s after the sound, "
        f"95 % within {late:.1f} s"
    )


def _start_log(form: Literal["text", "json"], verbose: int, quiet: bool) -> None:
    from audio_anomaly_detector.cli.console import start_logging

    start_logging(max(verbose, 1), quiet)
    if form == "json":
        from audio_anomaly_detector.monitor.json_log import log_json

        log_json()
