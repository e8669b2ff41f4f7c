"""Command line options that several verbs share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Argument(help="Folder of recordings, CSV manifest or audio file.")]
Model = Annotated[Path, typer.Argument(help="Model file written by `aad fit` or run_all.py.")]
MachineId = Annotated[
    str | None, typer.Option("--id", help="Machine id, e.g. id_00; optional if there is only one.")
]
Layout = Annotated[str, typer.Option(help="auto, mimii, dcase, folder or csv.")]
Preset = Annotated[
    str | None, typer.Option(help="instant, small, base or paper.  [default: small, on a GPU base]")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file with any settings; see `aad info`.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, part.key=value; may be repeated.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Governs all randomness.  [default: 0]")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Channels = Annotated[
    str | None,
    typer.Option(help="all: every microphone; mean; or one by number.  [default: all]"),
]
Length = Annotated[
    int | None, typer.Option(help="Samples of one analysis window.  [default: 160000]")
]
Views = Annotated[
    int | None,
    typer.Option("--tta", min=0, help="Views a clip for test-time augmentation.  [default: 0]"),
]
OnError = Annotated[str, typer.Option(help="skip clips that cannot be used, or stop.")]
WatchTest = Annotated[
    bool, typer.Option(help="Print AUROC on the test clips after every epoch, for the eye only.")
]
OracleEpoch = Annotated[
    bool,
    typer.Option(help="Choose epochs by test labels, as some papers do; results are marked."),
]
FalseAlarms = Annotated[
    float | None,
    typer.Option(
        "--false-alarm-rate", help="Share of normals that may be called anomalous.  [default: 0.1]"
    ),
]
ThresholdMethod = Annotated[
    str | None,
    typer.Option(help="auto, gamma or conformal; from normal clips alone.  [default: auto]"),
]
ThresholdValue = Annotated[
    float | None, typer.Option("--threshold", help="Decide by this score instead.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more; -vv: all.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
