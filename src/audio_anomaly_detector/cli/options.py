"""Command line options that several verbs share, each said once, by what they are about."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_anomaly_detector.choices import FigureKind, LayoutName, PoolScope, RuntimeName
from audio_anomaly_detector.choices import Plots as PlotsName
from audio_anomaly_detector.choices import Preset as PresetName
from audio_anomaly_detector.devices import DeviceName
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.run_options import OnError as OnErrorName

# Panels of the help, below that of the common options.
RECORDINGS = "Recordings"
SETTINGS = "Settings of the detector"
DECISION = "Decision"
COMPUTING = "Computing"
LABELS = "Test labels"


def one_place(name: str, *places: Path | list[Path] | None) -> Path:
    """The one place that was given, whichever of its names it was given by.

    Args:
        name: what it is called in the help.
        places: what each of its names was given.

    Raises:
        UserError: none was given, or different ones.
    """
    given = {path for one in places for path in (one if isinstance(one, list) else [one]) if path}
    if not given:
        raise UserError(f"Missing argument '{name}'. See --help.")
    if len(given) > 1:
        raise UserError(f"{name} was given as {' and as '.join(sorted(map(str, given)))}; give one")
    return given.pop()


Data = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="Folder of recordings, CSV manifest or audio file.",
        show_default=False,
    ),
]
DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", help="DATA by name.", metavar="PATH", rich_help_panel=RECORDINGS),
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option("--root", "--data", help="DATA by name.", metavar="PATH"),
]
Model = Annotated[
    Path,
    typer.Argument(
        help="Model file, or run folder that holds one, of `aad fit`, `aad run-all` or the scripts."
    ),
]
PlantFile = Annotated[
    Path, typer.Argument(metavar="PLANT", help="YAML file that describes what is watched.")
]
MachineId = Annotated[
    str | None, typer.Option("--id", help="Machine id, e.g. id_00; optional if there is only one.")
]
Layout = Annotated[
    LayoutName,
    typer.Option(
        help="How DATA is laid out; folder: one machine, normal but for what is called anomalous.",
        rich_help_panel=RECORDINGS,
    ),
]
Normal = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Files or folders of normal clips, such as 'good/*', in place of the words in names; "
        "may be repeated.",
        rich_help_panel=RECORDINGS,
    ),
]
Abnormal = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="The same of anomalous clips.", rich_help_panel=RECORDINGS
    ),
]
JoinTakes = Annotated[
    bool,
    typer.Option(
        "--join-takes",
        metavar="",
        help="Files that differ only in the microphone (mic1, ch2, left) are one recording.",
        rich_help_panel=RECORDINGS,
    ),
]
Preset = Annotated[
    PresetName | None,
    typer.Option(
        metavar="NAME",
        help="instant: no network, fitted in seconds; small: three networks; base: larger ones, "
        "for a GPU; paper: as published.  [default: instant]",
    ),
]
ScriptPreset = Annotated[
    PresetName | None,
    typer.Option(
        metavar="NAME",
        help="small, base or paper: the three models in a size; instant: none of them.  "
        "[default: small, on a GPU base]",
    ),
]
Pool = Annotated[
    PoolScope | None,
    typer.Option(
        help="Learn from the normals of one id alone, with those of all ids of a machine type, "
        "or of all machines.  [default: none]",
        rich_help_panel=SETTINGS,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML file with any settings; see `aad info`.", rich_help_panel=SETTINGS
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="One setting, part.key=value; may be repeated.", rich_help_panel=SETTINGS
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="INT", help="Of all random numbers.  [default: 0]")
]
Device = Annotated[DeviceName, typer.Option(help="auto: a GPU if any.", rich_help_panel=COMPUTING)]
Channels = Annotated[
    str | None,
    typer.Option(
        help="all: every microphone; mean; or one by number.  [default: all]",
        rich_help_panel=RECORDINGS,
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Clips that vary together: those of a recording, folder, day or hour (by the time in "
        "their names), or name:REGEX; auto: recordings, and neighbours that are alike.  "
        "[default: auto]",
        rich_help_panel=RECORDINGS,
    ),
]
Length = Annotated[
    int | None,
    typer.Option(
        help="Samples of one analysis window.  [default: 160000]", rich_help_panel=RECORDINGS
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        "--tta",
        min=0,
        metavar="INT",
        help="Views a clip for test-time augmentation.  [default: 0]",
        rich_help_panel=SETTINGS,
    ),
]
OnError = Annotated[
    OnErrorName,
    typer.Option(
        help="Skip clips that cannot be used and list them, or stop.", rich_help_panel=COMPUTING
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="INT",
        help="CPU threads of a job.  [default: all, shared]",
        rich_help_panel=COMPUTING,
    ),
]
WatchTest = Annotated[
    bool,
    typer.Option(
        metavar="",
        help="Print AUROC on the test clips after every epoch; changes no result.",
        rich_help_panel=LABELS,
    ),
]
OracleEpoch = Annotated[
    bool,
    typer.Option(
        "--oracle-epoch",
        metavar="",
        help="Choose epochs by test labels, as some papers do; results are marked.",
        rich_help_panel=LABELS,
    ),
]
FalseAlarms = Annotated[
    float | None,
    typer.Option(
        "--false-alarm-rate",
        help="Share of normals that may be called anomalous.  [default: 0.1]",
        rich_help_panel=DECISION,
    ),
]
AlarmsInTime = Annotated[
    str | None,
    typer.Option(
        "--false-alarms",
        metavar="N/UNIT",
        help="A second level: alarms, which come without a fault at most so often, such as 1/week "
        "or 0.5/day (hour, day, week, month, year).",
        show_default=False,
        rich_help_panel=DECISION,
    ),
]
ClipsPerDay = Annotated[
    float | None,
    typer.Option(
        help="Clips that are judged in a day.", show_default=False, rich_help_panel=DECISION
    ),
]
ThresholdMethod = Annotated[
    Literal["auto", "gamma", "conformal"] | None,
    typer.Option(
        help="How it is drawn from normal clips.  [default: auto]", rich_help_panel=DECISION
    ),
]
ThresholdValue = Annotated[
    float | None,
    typer.Option("--threshold", help="Decide by this score instead.", rich_help_panel=DECISION),
]
Plots = Annotated[
    PlotsName,
    typer.Option(
        metavar="all|sheet|none",
        help="Draw every plot and the sheet of them all, the sheet alone, or nothing.",
        rich_help_panel=COMPUTING,
    ),
]
Figures = Annotated[
    FigureKind | None,
    typer.Option(
        metavar="pdf|svg|png",
        help="Also draw every plot at the size of a paper's columns, into `figures` in the run "
        "folder.",
        show_default=False,
        rich_help_panel=COMPUTING,
    ),
]
Runtime = Annotated[
    RuntimeName,
    typer.Option(
        help="auto: onnx for a file that `aad export` wrote, torch for others.",
        rich_help_panel=COMPUTING,
    ),
]
MachinesAtATime = Annotated[
    int | None,
    typer.Option(min=1, metavar="INT", help="Machines at a time.  [default: one a core]"),
]
AsJson = Annotated[
    bool, typer.Option("--json", metavar="", help="Machine-readable output on stdout.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, metavar="", show_default=False, help="Say more; -vv: all."
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", metavar="", help="Say nothing but results and errors.")
]
