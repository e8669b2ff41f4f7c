"""`aad events`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE
from audio_anomaly_detector.cli.plants import described_plant
from audio_anomaly_detector.errors import UserError, one_line

if TYPE_CHECKING:
    from audio_anomaly_detector.monitor.event import Event
    from audio_anomaly_detector.monitor.plant import Plant

_WORDS = 3  # of an event in the table


def events(
    plant: options.PlantFile,
    name: Annotated[
        str | None, typer.Argument(help="Only those of this machine, source or sink.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="How far back, such as 24h or 2weeks.")
    ] = "30 days",
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest.")] = 100,
    as_json: options.AsJson = False,
) -> int:
    """List what a watch has told, the newest first."""
    import time

    from audio_anomaly_detector.cli.console import out
    from audio_anomaly_detector.monitor.durations import parse_duration
    from audio_anomaly_detector.monitor.store.store import Store

    described = described_plant(plant)
    try:
        back = parse_duration(since)
    except ValueError as error:
        raise UserError(f"--since {since}: {error}") from error
    if not described.data.is_dir() and described.store is None:
        raise UserError(f"{described.data}: nothing was watched yet; start 'aad watch' first")
    store = Store.open(described.store_url)
    try:
        found = store.events(name, since=time.time() - back, limit=limit)
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([event.to_dict() for event in found], indent=2))
    elif found:
        _print(found, described)
    elif name is not None and name not in _named(described):
        raise UserError(f"there is no {name!r}; there are: {', '.join(_named(described))}")
    else:
        out.print(f"no events within {since}")
    return DONE


def _named(described: "Plant") -> list[str]:
    """What events can be about; "sources" are those of many sources that are lost at once."""
    return [*described.machines, *described.sources, *described.sink_names, "sources"]


def _print(found: "list[Event]", described: "Plant") -> None:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from audio_anomaly_detector.cli.console import out

    zone = ZoneInfo(described.time_zone)

    def shown(moment: float) -> str:
        return f"{datetime.fromtimestamp(moment, UTC).astimezone(zone):%Y-%m-%d %H:%M}"

    for event in found:
        until = "lasts" if event.ended is None else f"until {shown(event.ended)}"
        out.print(
            f"{shown(event.started)}  {event.level:8}{one_line(event.name)}: {event.kind}, {until}"
        )
        for word in event.words[:_WORDS]:
            out.print(f"    {one_line(word)}")
        folder = "" if event.folder is None else f"  {described.data / 'events' / event.folder}"
        out.print(f"    id {one_line(event.id)}{folder}")
