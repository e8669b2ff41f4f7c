"""`aad explain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import (
    DONE,
    FAILED,
    SOME_FAILED,
    report_failure,
    report_failures,
)
from audio_anomaly_detector.errors import ClipError, Interrupted, UserError, one_line

if TYPE_CHECKING:
    from audio_anomaly_detector.data.clips import Clip
    from audio_anomaly_detector.detector import Detector
    from audio_anomaly_detector.explaining.explanation import Explanation

_FAMILIES = 3  # whose shares are printed


def explain(
    model: options.Model,
    inputs: Annotated[list[Path], typer.Argument(help="Audio files or folders of them.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a folder for each clip here: words and maps, a picture, and the clip, its "
            "unusual part and the nearest training clip to listen to."
        ),
    ] = None,
    rpm: Annotated[
        float | None, typer.Option(help="Speed of the machine's shaft, revolutions a minute.")
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=HZ",
            help="A known rate of the machine, such as BPFO=87.2; tones and repetitions are named "
            "as multiples of it; may be repeated.",
        ),
    ] = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    join_takes: options.JoinTakes = False,
    device: options.Device = "auto",
    on_error: options.OnError = "skip",
) -> int:
    """Say of recordings when, where and in what way they are unusual, in words with figures.

    Words are measured against the machine's own normal clips. A cause is never named: sound alone
    does not tell it.
    """
    from audio_anomaly_detector.cli.console import err, in_terminal, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.data.inputs import find_inputs
    from audio_anomaly_detector.explaining.orders import known_rates
    from audio_anomaly_detector.loading import load_detector

    start_logging(verbose, quiet)
    rates = known_rates(_rates(rate or []), rpm)
    detector = load_detector(model, device)
    found = find_inputs(inputs, on_error, join_takes)
    for problem in found.problems:
        err.print(f"problem: {problem}")
    report_failures(found.failures)
    facts: list[dict[str, Any]] = []
    done = failed = 0
    with ProgressDisplay(quiet or in_terminal()) as progress:
        for clip in found.clips:
            try:
                explanation = detector.explain_clip(clip, rates=rates)
            except ClipError as error:
                if on_error == "stop":
                    raise
                failed += 1
                report_failure(error)
                continue
            except Interrupted as interruption:
                interruption.add_note(f"{done + failed} of {len(found.clips)} clips are done")
                raise
            folder = None if out is None else _write(out, clip, explanation, detector)
            done += 1
            if as_json:
                facts.append({"clip": clip.name, **explanation.to_dict(with_maps=False)})
            else:
                _print(clip.name, explanation, folder)
            progress.advance("explaining clips", done + failed, len(found.clips))
    if as_json:
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    if not done:
        return FAILED
    return SOME_FAILED if failed or found.failures else DONE


def _rates(given: list[str]) -> dict[str, float]:
    """What --rate says; raises `UserError` for anything but NAME=HZ."""
    rates = {}
    for one in given:
        name, _, number = one.rpartition("=")
        try:
            rates[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UserError(f"--rate {one}: give a name and a rate in Hz, such as BPFO=87.2")
    return rates


def _print(name: str, explanation: "Explanation", folder: Path | None) -> None:
    """The verdict, the words, and what they rest on."""
    from audio_anomaly_detector.cli.console import out as stdout

    score = explanation.score
    verdict = score.verdict.upper() if score.verdict == "anomalous" else score.verdict
    stdout.print(
        f"{one_line(name)}: {verdict}, score {score.score:.2f} (threshold {score.threshold:.2f}, "
        f"p {score.p_shown})"
    )
    for words in explanation.words:
        stdout.print(f"  - {words}")
    shares = sorted(explanation.shares.items(), key=lambda share: -share[1])[:_FAMILIES]
    told = ", ".join(f"{family} {share:+.2f}" for family, share in shares)
    stdout.print(f"  of the score: {told}")
    if explanation.nearest:
        nearest = one_line(explanation.nearest[0].name)
        stdout.print(f"  most like the training clip {nearest}")
    for note in explanation.notes:
        stdout.print(f"  {note}")
    if folder is not None:
        stdout.print(f"  written to {folder}")


def _write(out: Path, clip: "Clip", explanation: "Explanation", detector: "Detector") -> Path:
    """Write the folder of a clip."""
    from audio_anomaly_detector.explaining.folder import folder_name, write_explanation

    folder = out / folder_name(clip.name)
    nearest = detector.sound_of_nearest(explanation, clip)
    write_explanation(folder, clip.name, explanation, nearest)
    return folder
