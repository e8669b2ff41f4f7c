"""`aad silence`."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE
from audio_anomaly_detector.cli.plants import described_plant
from audio_anomaly_detector.errors import UserError, one_line

if TYPE_CHECKING:
    from audio_anomaly_detector.monitor.plant import Plant
    from audio_anomaly_detector.monitor.store.store import Store


def silence(
    plant: options.PlantFile,
    name: Annotated[
        str | None, typer.Argument(help="Machine or source; '*': all. None: list the silences.")
    ] = None,
    lasting: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="Such as 30min, 8h, 2days.")
    ] = "1 h",
    reason: Annotated[str, typer.Option(help="Why, for the others.")] = "",
    end: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="End this silence early.")
    ] = None,
) -> int:
    """Tell nothing of a machine or source for some time, as during maintenance.

    What still lasts when the silence ends is told then.
    """
    from audio_anomaly_detector.monitor.store.store import Store

    described = described_plant(plant)
    store = Store.open(described.store_url)
    try:
        if end is not None:
            if not store.end_silence(end, time.time()):
                raise UserError(f"there is no silence {end} that lasts; see 'aad silence PLANT'")
        elif name is not None:
            _add(store, described, name, lasting, reason)
        _list(store, described)
    finally:
        store.close()
    return DONE


def _add(store: "Store", described: "Plant", name: str, lasting: str, reason: str) -> None:
    from audio_anomaly_detector.monitor.durations import parse_duration

    known = [*described.machines, *described.sources]
    if name not in (*known, "*"):
        raise UserError(f"there is no {name!r}; there are: {', '.join(known)} and '*' for all")
    try:
        seconds = parse_duration(lasting)
    except ValueError as error:
        raise UserError(f"--for {lasting}: {error}") from error
    now = time.time()
    store.add_silence(name, now, now + seconds, reason)


def _list(store: "Store", described: "Plant") -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(described.time_zone)
    lasting = store.silences(time.time())
    for one in lasting:
        until = datetime.fromtimestamp(one.until, UTC).astimezone(zone)
        why = f": {one_line(one.reason)}" if one.reason else ""
        typer.echo(f"{one.id}: {one_line(one.name)} until {until:%Y-%m-%d %H:%M}{why}")
    if not lasting:
        typer.echo("nothing is silenced")
