"""`aad adapt`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import FAILED, report_failures
from audio_anomaly_detector.errors import UserError

if TYPE_CHECKING:
    from audio_anomaly_detector.detector import AdaptResult, Detector

_NAMED = 5  # clips that a message names


def adapt(
    model: options.Model,
    normals: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="NORMALS...",
            help="Normal clips of the new condition: audio files, folders or CSV manifests.",
            show_default=False,
        ),
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", metavar="", help="Take the last adaptation back.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", metavar="", help="Adapt though clips look faulty or foreign."),
    ] = False,
    machine_id: options.MachineId = None,
    out: Annotated[
        Path | None, typer.Option(help="Write this file instead.  [default: MODEL]")
    ] = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    layout: options.Layout = "auto",
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
    join_takes: options.JoinTakes = False,
    group: options.Group = None,
    device: options.Device = "auto",
    on_error: options.OnError = "skip",
) -> int:
    """Make a model hold for another recording condition, too, with a few normal clips of it.

    For another microphone, mounting or day, or a louder hall: 4 to 10 clips, in seconds, without
    a refit. The former condition stays known. `aad info MODEL` shows what a model was adapted to.
    """
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.cli.console import start_logging
    from audio_anomaly_detector.files import hold_folder
    from audio_anomaly_detector.loading import find_model, load_detector

    start_logging(verbose, quiet)
    if undo == bool(normals):
        raise UserError("give normal clips of the new condition, or --undo; see --help")
    file = find_model(model, "torch")
    target = out or file
    with hold_folder(target.parent):
        detector = load_detector(file, device)
        if undo:
            earlier = detector.without_last_adaptation()
            earlier.save(target)
            if as_json:
                typer.echo(json.dumps(_facts(target, detector, earlier), indent=2))
            else:
                stdout.print(
                    f"{target}: as before the last adaptation, "
                    f"threshold {earlier.threshold:.3f}, before {detector.threshold:.3f}"
                )
            return 0
        result = _adapted(
            detector,
            normals or [],
            machine_id,
            (layout, normal, abnormal, join_takes),
            group,
            on_error,
            quiet,
        )
        refused = bool(result.suspects or result.another_machine) and not yes
        if not refused:
            result.detector.save(target)
    if as_json:
        facts = _facts(None if refused else target, detector, result.detector)
        facts |= {
            "suspects": result.suspects,
            "another_machine": result.another_machine,
            "alarms_before": result.alarms_before,
            "alarms_after": result.alarms_after,
        }
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    _warn(result, refused)
    failed = report_failures(result.failures)
    if refused:
        return FAILED
    if not as_json:
        _report(target, detector, result)
    return failed


def _adapted(
    detector: "Detector",
    normals: list[Path],
    machine_id: str | None,
    found_by: tuple[str, list[str] | None, list[str] | None, bool],
    group: str | None,
    on_error: options.OnErrorName,
    quiet: bool,
) -> "AdaptResult":
    """Find the clips, and adapt to them."""
    from audio_anomaly_detector.cli.console import err
    from audio_anomaly_detector.cli.interruption import NOTHING_KEPT
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.recordings import label_patterns
    from audio_anomaly_detector.data.groups import with_groups
    from audio_anomaly_detector.data.inputs import find_normals

    layout, normal, abnormal, takes = found_by
    patterns = label_patterns(normal, abnormal)
    machine = detector.provenance.machine
    found = find_normals(normals, machine, machine_id, layout, patterns, takes)
    for problem in found.problems:
        err.print(f"problem: {problem}")
    clips = found.clips if group is None else with_groups(found.clips, group)
    with ProgressDisplay(quiet, interrupted=NOTHING_KEPT) as progress:
        return detector.adapt(clips, on_error=on_error, progress=progress)


def _facts(written: Path | None, before: "Detector", after: "Detector") -> dict[str, Any]:
    """What changed, as plain data."""
    adaptations = [adaptation.to_dict() for adaptation in after.provenance.adaptations]
    return {
        "written": None if written is None else str(written),
        "adaptations": adaptations,
        "threshold_before": before.threshold,
        "threshold_after": after.threshold,
    }


def _warn(result: "AdaptResult", refused: bool) -> None:
    """Name on stderr what looks wrong with the clips, quiet or not."""
    from audio_anomaly_detector.cli.console import err

    said = [f"warning: {name} looks faulty: {why}" for name, why in result.suspects.items()]
    if result.another_machine:
        said.append("warning: nearly all that is measured differs, as from machine to machine")
    for line in said:
        err.print(line)
    if refused:
        err.print(
            "nothing was changed: listen to these clips and leave faulty ones out, or adapt all "
            "the same with --yes"
            if result.suspects
            else "nothing was changed: is it the machine of this model? --yes adapts all the same, "
            "and 'aad fit' learns another machine"
        )


def _report(target: Path, before: "Detector", result: "AdaptResult") -> None:
    """What changed, and what to do next."""
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.data.copies import copies_note

    after = result.detector
    adaptation = after.provenance.adaptations[-1]
    clips = len(adaptation.clips)
    stdout.print(
        f"{target}: {before.provenance.machine} adapted with {clips} normal clips"
        f" ({len(after.provenance.clips)} were learned by the fit)"
    )
    stdout.print(
        f"of the new clips {result.alarms_before} were called anomalous before, "
        f"{result.alarms_after} are now, each judged without itself"
    )
    stdout.print(f"threshold {before.threshold:.3f} before, {after.threshold:.3f} now")
    for note in [*copies_note(adaptation.copies), *after.notes]:
        stdout.print(note)
    stdout.print(
        "next: score further normal clips of both conditions; export and evaluate the model again "
        "if you did before; 'aad adapt --undo' takes it back"
    )
