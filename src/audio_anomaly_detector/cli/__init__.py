"""The command `aad`: one function for each verb; arguments in, calls out, nothing else."""

import json
import os
import sys
from dataclasses import asdict, replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from audio_anomaly_detector.cli.options import (
    AsJson,
    Channels,
    ConfigFile,
    Data,
    Debug,
    Device,
    FalseAlarms,
    Layout,
    Length,
    MachineId,
    Model,
    OnError,
    OracleEpoch,
    Preset,
    Quiet,
    Seed,
    Settings,
    ThresholdMethod,
    ThresholdValue,
    Verbose,
    Views,
    WatchTest,
)
from audio_anomaly_detector.errors import ClipError, UserError

if TYPE_CHECKING:
    from audio_anomaly_detector.config import Config
    from audio_anomaly_detector.detector import Detector
    from audio_anomaly_detector.export.runtime import OnnxDetector

DONE, SOME_FAILED, FAILED = 0, 1, 2  # exit codes
MODEL_NAME = "model.pth"
DEVICES = ("auto", "cpu", "cuda")
RUNTIMES = ("torch", "onnx")
AnyDetector = TypeVar("AnyDetector", "Detector", "OnnxDetector")

app = typer.Typer(
    name="aad",
    help="Learns the normal sound of a machine and says of any recording how anomalous it is.\n\n"
    "Start with `aad inspect DATA`, then `aad fit DATA --id ID` and `aad score MODEL FILES`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(package_version("audio-anomaly-detector"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Options of all verbs; `execute` looks for --debug itself."""


@app.command()
def inspect(
    data: Data,
    layout: Layout = "auto",
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Print what was found below DATA: ids, clips, seconds, rates, channels and problems."""
    from audio_anomaly_detector.cli.display import ProgressDisplay, print_inspection, start_logging
    from audio_anomaly_detector.data.inspection import inspect as inspect_data

    start_logging(-1 if quiet else verbose)
    with ProgressDisplay(quiet, epochs=False) as progress:
        found = inspect_data(data, layout, progress=progress)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print_inspection(found)
    return SOME_FAILED if found.problems else DONE


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the made data set (MIMII layout).")],
    machines: Annotated[
        str, typer.Option(help="Machine types, comma-separated.")
    ] = "fan,pump,slider,valve",
    ids: Annotated[int, typer.Option(help="Machines of each type.")] = 2,
    normal: Annotated[int, typer.Option(help="Normal clips of each machine.")] = 20,
    abnormal: Annotated[int, typer.Option(help="Faulty clips of each machine.")] = 10,
    snr: Annotated[str, typer.Option(help="Machine over noise in dB, comma-separated.")] = "-6",
    channels: Annotated[int, typer.Option(help="Microphones.")] = 2,
    seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 10.0,
    faults: Annotated[str, typer.Option(help="tuning or held_out.")] = "tuning",
    seed: Seed = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Make recordings of fans, pumps, slide rails and valves, healthy and faulty, to try things on.

    The same seed makes the same bytes.
    """
    from audio_anomaly_detector.cli.display import ProgressDisplay, start_logging
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.settings import validated
    from audio_anomaly_detector.synthesis.data_set import SyntheticConfig, synthesise

    start_logging(-1 if quiet else verbose)
    config = validated(
        SyntheticConfig,
        {
            "machines": machines.split(","),
            "ids": ids,
            "normal": normal,
            "abnormal": abnormal,
            "snr_db": snr.split(","),
            "channels": channels,
            "seconds": seconds,
            "faults": faults,
            "seed": seed or 0,
        },
    )
    with ProgressDisplay(quiet, epochs=False) as progress:
        synthesise(out, config, progress)
    stdout.print(f"made {out}; look at it with: aad inspect {out}")
    return DONE


@app.command()
def fit(
    data: Data,
    machine_id: MachineId = None,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("out"),
    model: Annotated[
        Path | None, typer.Option(help="Model file.  [default: model.pth in the run folder]")
    ] = None,
    layout: Layout = "auto",
    preset: Preset = None,
    channels: Channels = None,
    length: Length = None,
    tta: Views = None,
    device: Device = "auto",
    seed: Seed = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    on_error: OnError = "skip",
    watch_test: WatchTest = False,
    oracle_epoch: OracleEpoch = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Learn the normal sound of one machine from the normal clips below DATA.

    Clips labelled anomalous and as many normals are kept apart for `aad evaluate`. A fit that
    was interrupted goes on where it was when started again with the same settings.
    """
    from audio_anomaly_detector.cli.display import ProgressDisplay, start_logging
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.data.datasets import prepare_split
    from audio_anomaly_detector.data.layouts import find_clips, select_machine
    from audio_anomaly_detector.run_options import RunOptions
    from audio_anomaly_detector.runs.fit import fit_machine

    start_logging(-1 if quiet else verbose)
    config = _config(
        preset, config_file, settings, device, seed, channels, length, tta, oracle_epoch
    )
    clips = select_machine(find_clips(data, layout).clips, machine_id)
    split = prepare_split(clips, config.audio, config.seed)
    options = RunOptions(
        device=_choice("--device", device, *DEVICES),
        on_error=_choice("--on-error", on_error, "skip", "stop"),
        watch_test=watch_test,
    )
    model = model or out / MODEL_NAME
    with ProgressDisplay(quiet, epochs=watch_test or verbose > 0) as progress:
        result = fit_machine(split, config, out, model, options, progress)
    detector = result.detector
    stdout.print(
        f"{model}: {len(detector.provenance.clips)} normal clips of "
        f"{detector.provenance.machine}, preset {config.preset}, "
        f"threshold {detector.threshold:.3f}"
    )
    for note in detector.notes:
        stdout.print(note)
    if result.outliers:
        stdout.print(
            "unlike the other normal clips, used all the same: " + ", ".join(result.outliers)
        )
    return _report_failures(result.failures)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    machine_id: MachineId = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder.  [default: the model file's]")
    ] = None,
    layout: Layout = "auto",
    false_alarm_rate: FalseAlarms = None,
    threshold_method: ThresholdMethod = None,
    threshold: ThresholdValue = None,
    device: Device = "auto",
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Score the test clips below DATA and write metrics, scores, plots and a report.

    The test clips are those that `aad fit` kept apart; clips used in training are refused.
    """
    from audio_anomaly_detector.cli.display import ProgressDisplay, print_metrics, start_logging
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.data.datasets import prepare_split
    from audio_anomaly_detector.data.layouts import find_clips, machines, select_machine
    from audio_anomaly_detector.runs.evaluate import evaluate_machine

    start_logging(-1 if quiet else verbose)
    detector = _detector(model, device, false_alarm_rate, threshold_method, threshold)
    key = str(detector.provenance.machine)
    clips = find_clips(data, layout).clips
    if machine_id is None and key in map(str, machines(clips)):
        machine_id = key
    config = detector.config
    test = prepare_split(select_machine(clips, machine_id), config.audio, config.seed).test
    out = out or model.parent
    with ProgressDisplay(quiet, epochs=False) as progress:
        evaluation = evaluate_machine(detector, test, out, progress)
    if as_json:
        print((out / "metrics.json").read_text(), end="")
    else:
        print_metrics(key, evaluation.metrics)
        for note in evaluation.notes:
            stdout.print(note)
        stdout.print(f"report: {out / 'report.html'}")
    return _report_failures(evaluation.failures)


@app.command()
def score(
    model: Model,
    inputs: Annotated[list[Path], typer.Argument(help="Audio files or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="Write the scores to this CSV file.")] = None,
    false_alarm_rate: FalseAlarms = None,
    threshold_method: ThresholdMethod = None,
    threshold: ThresholdValue = None,
    device: Device = "auto",
    on_error: OnError = "skip",
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    runtime: Annotated[
        str, typer.Option(help="torch, or onnx for a file that `aad export` wrote.")
    ] = "torch",
) -> int:
    """Say of each recording how anomalous it is: score, p-value, verdict, what stands out."""
    from audio_anomaly_detector.cli.display import ProgressDisplay, print_scores, start_logging
    from audio_anomaly_detector.data.layouts import find_clips
    from audio_anomaly_detector.runs.score_table import write_scores

    start_logging(-1 if quiet else verbose)
    on_error = _choice("--on-error", on_error, "skip", "stop")
    load = _detector if _choice("--runtime", runtime, *RUNTIMES) == "torch" else _onnx_detector
    detector = load(model, device, false_alarm_rate, threshold_method, threshold)
    failures: list[UserError] = []
    clips, scored = [], []
    for path in inputs:
        try:
            # A plain folder counts as normal where a detector is fitted; here nobody has judged.
            clips += [replace(clip, label=None) for clip in find_clips(path).clips]
        except UserError as error:
            if on_error == "stop":
                raise
            failures.append(error)
    with ProgressDisplay(quiet, epochs=False) as progress:
        for done, (clip, outcome) in enumerate(detector.score_clips(clips)):
            progress.advance("scoring clips", done + 1, len(clips))
            if not isinstance(outcome, ClipError):
                scored.append((clip, outcome))
            elif on_error == "stop":
                raise outcome
            else:
                failures.append(outcome)
    if out is not None:
        write_scores(out, scored)
    if as_json:
        print(json.dumps([{"path": str(c.path), **s.to_dict()} for c, s in scored], indent=2))
    else:
        print_scores(scored)
    code = _report_failures(failures)
    return code if scored else FAILED


@app.command()
def export(
    model: Model,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the file.  [default: the model's own]")
    ] = None,
    format: Annotated[str, typer.Option(help="onnx.")] = "onnx",
    quantize: Annotated[
        str | None, typer.Option(help="int8: the networks' weights in 8 bits.")
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="Longest recording that the graph may be given.")
    ] = 60.0,
) -> int:
    """Write a model as one graph, waveform to score, that runs without Python or PyTorch.

    The file's metadata says what a program that calls the graph must know: sample rate, number
    of microphones, bounds of the length, threshold. `aad score --runtime onnx` reads it, and
    examples/score_onnx.py shows how in 30 lines.
    """
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.detector import Detector
    from audio_anomaly_detector.export.write import export_onnx

    _choice("--format", format, "onnx")
    quantize = None if quantize is None else _choice("--quantize", quantize, "int8")
    suffix = ".onnx" if quantize is None else f".{quantize}.onnx"
    path = (out or model.parent) / f"{model.stem}{suffix}"
    stdout.print("exporting, which takes about a minute")
    exported = export_onnx(
        Detector.load(model, "cpu"), path, max_seconds=max_seconds, quantize=quantize
    )
    stdout.print(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, scores within "
        f"{exported.difference:.0e} of the model's own on noise"
    )
    return DONE


@app.command()
def info(model: Model, as_json: AsJson = False) -> int:
    """Tell what a model file holds: machine, clips, settings, threshold, versions."""
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.detector import Detector

    detector = Detector.load(model, "cpu")
    facts = detector.describe()
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        import yaml

        stdout.print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True).rstrip())
    return DONE


@app.command("run-all")
def run_all(
    root: Annotated[Path, typer.Option(help="Folder with every condition, machine and id.")],
    save: Annotated[Path, typer.Option(help="Folder for models, runs and the summary.")] = Path(
        "best_models"
    ),
    layout: Layout = "auto",
    engine: Annotated[str, typer.Option(help="serial, processes or ray.")] = "serial",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time.  [default: one a core]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of a job.  [default: all, shared]")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to use; otherwise one is started here.")
    ] = None,
    preset: Preset = None,
    channels: Channels = None,
    length: Length = None,
    tta: Views = None,
    pool: Annotated[
        str | None,
        typer.Option(
            help="none, machine or all: learn from the normals of one id alone, with those of all "
            "ids of a machine type, or of all machines.  [default: none]"
        ),
    ] = None,
    device: Device = "auto",
    seed: Seed = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    on_error: OnError = "skip",
    watch_test: WatchTest = True,
    oracle_epoch: OracleEpoch = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Fit and evaluate a detector for every machine id below a folder, and sum up.

    Started again it skips what is finished. An id that fails is listed at the end; the rest goes
    on.
    """
    from audio_anomaly_detector.cli.display import ProgressDisplay, start_logging
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.data.layouts import find_clips
    from audio_anomaly_detector.devices import resolve_device
    from audio_anomaly_detector.engines import ENGINES
    from audio_anomaly_detector.fleet.jobs import make_jobs
    from audio_anomaly_detector.fleet.pools import make_pools
    from audio_anomaly_detector.fleet.run import run_all as run_jobs
    from audio_anomaly_detector.fleet.summary import summary_table
    from audio_anomaly_detector.run_options import RunOptions

    # The epochs' figures go through the log, as the jobs may run in other processes.
    start_logging(-1 if quiet else max(verbose, int(watch_test)))
    if pool is not None:
        settings = [*(settings or ()), f"pool={pool}"]
    config = _config(
        preset, config_file, settings, device, seed, channels, length, tta, oracle_epoch
    )
    cores = os.cpu_count() or 1
    workers = 1 if engine == "serial" else workers or cores
    threads = threads or max(1, cores // workers)
    gpus = int(resolve_device(_choice("--device", device, *DEVICES)).type == "cuda")
    runner = ENGINES[_choice("--engine", engine, *ENGINES)](workers, threads, gpus, address)
    clips = find_clips(root, layout).clips
    options = RunOptions(
        device=_choice("--device", device, *DEVICES),
        on_error=_choice("--on-error", on_error, "skip", "stop"),
        watch_test=watch_test,
        threads=threads,
    )
    pools = make_pools(clips, config, save, options)
    jobs = make_jobs(clips, config, save, options, pools)
    summary = save / "summary.csv"
    with ProgressDisplay(quiet, epochs=False) as progress:
        outcomes = run_jobs(jobs, runner, summary, progress, pools)
    stdout.print(summary_table(outcomes))
    stdout.print(f"summary: {summary}")
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if len(failed) == len(outcomes):
        return FAILED
    return SOME_FAILED if failed or any(outcome.n_failed_clips for outcome in outcomes) else DONE


@app.command()
def benchmark(
    root: Annotated[Path, typer.Option(help="Data set with labelled anomalous clips.")],
    out: Annotated[
        Path, typer.Option(help="Folder for results.md, .csv, .html and the cells (results/).")
    ] = Path("benchmark"),
    detectors: Annotated[
        str, typer.Option(help="all, or some, comma between; a wrong name lists them.")
    ] = "all",
    protocol: Annotated[
        str, typer.Option(help="folds: five an id; split: the data set's own.")
    ] = "folds",
    level: Annotated[str, typer.Option(help="equalised, recorded or both.")] = "both",
    channels: Annotated[
        str, typer.Option(help="all, mean or numbers of microphones, comma between.")
    ] = "all,0",
    train_clips: Annotated[
        str, typer.Option(help="all, or numbers of normals to learn from, comma between.")
    ] = "all",
    seeds: Annotated[int, typer.Option(min=1, help="Of detectors that draw anything.")] = 3,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time.  [default: one a core]")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a cell.")] = 1,
    layout: Layout = "auto",
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Judge detectors on the same folds, side by side, with intervals and paired differences.

    Started again it goes on where it was stopped. The pages have all finished cells below --out,
    the terminal those that were asked for.
    """
    from audio_anomaly_detector.benchmark.cells import Setting, make_cell_jobs, run_missing
    from audio_anomaly_detector.benchmark.detectors import DETECTORS
    from audio_anomaly_detector.benchmark.pages import CELLS, write_results
    from audio_anomaly_detector.cli.display import ProgressDisplay, print_leaderboard, start_logging
    from audio_anomaly_detector.cli.display import err as stderr
    from audio_anomaly_detector.cli.display import out as stdout
    from audio_anomaly_detector.data.layouts import find_clips, machines

    start_logging(-1 if quiet else verbose)
    names = list(DETECTORS) if detectors == "all" else detectors.split(",")
    for name in list(names):
        reason = DETECTORS[_choice("--detectors", name, *DETECTORS)].missing()
        if reason:
            stderr.print(f"skipped {name}: {reason}")
            names.remove(name)
    if not names:
        raise UserError("no detector is left to run")
    levels = ("equalised", "recorded") if level == "both" else (level,)
    settings = [
        Setting(
            _choice("--protocol", protocol, "folds", "split"),
            _choice("--level", each, "equalised", "recorded", "both"),
            microphones
            if microphones in ("all", "mean")
            else str(_count("--channels", microphones)),
            None if limit == "all" else _count("--train-clips", limit),
        )
        for each in levels
        for microphones in channels.split(",")
        for limit in train_clips.split(",")
    ]
    jobs = make_cell_jobs(machines(find_clips(root, layout).clips), names, settings, seeds, threads)
    folder = out / CELLS / root.resolve().name
    with ProgressDisplay(quiet, epochs=False) as progress:
        failures = [
            f"{job}: {failed.reason}"
            for job, failed in run_missing(jobs, folder, workers or os.cpu_count() or 1, progress)
        ]
    for section in write_results(out):
        if section.dataset == folder.name and section.leaderboard.setting in settings:
            print_leaderboard(section.title, section.leaderboard, section.verdict)
    stdout.print(f"results: {out / 'results.html'}")
    return _report_failures(failures)


def _config(
    preset: str | None,
    file: Path | None,
    settings: list[str] | None,
    device: str,
    seed: int | None,
    channels: str | None,
    length: int | None,
    tta: int | None,
    oracle_epoch: bool,
) -> "Config":
    """The config that the options come down to; options left out leave file and preset alone."""
    from audio_anomaly_detector.config import load_config
    from audio_anomaly_detector.devices import resolve_device

    where = resolve_device(_choice("--device", device, *DEVICES))
    values: dict[str, Any] = {"audio": {}, "scoring": {}, "stages": {}}
    if seed is not None:
        values["seed"] = seed
    if channels is not None:
        values["audio"]["channels"] = int(channels) if channels.isdigit() else channels
    if length is not None:
        values["audio"]["length"] = length
    if tta is not None:
        values["scoring"]["views"] = tta
    if oracle_epoch:
        values["stages"]["oracle_epoch"] = True
    default = "base" if where.type == "cuda" else "small"
    return load_config(preset, file, settings or (), default, **values)


def _detector(
    model: Path,
    device: str,
    false_alarm_rate: float | None,
    method: str | None,
    value: float | None,
) -> "Detector":
    """Load a model, with another threshold where one is asked for."""
    from audio_anomaly_detector.detector import Detector

    detector = Detector.load(model, _choice("--device", device, *DEVICES))
    return _with_threshold(detector, false_alarm_rate, method, value)


def _onnx_detector(
    model: Path,
    device: str,
    false_alarm_rate: float | None,
    method: str | None,
    value: float | None,
) -> "OnnxDetector":
    """Load an exported graph, likewise."""
    from audio_anomaly_detector.export.runtime import OnnxDetector

    if _choice("--device", device, *DEVICES) == "cuda":
        raise UserError("--runtime onnx computes on the CPU; leave --device out")
    return _with_threshold(OnnxDetector.load(model), false_alarm_rate, method, value)


def _with_threshold(
    detector: AnyDetector, false_alarm_rate: float | None, method: str | None, value: float | None
) -> AnyDetector:
    """The same detector, made anew only where another threshold is asked for."""
    from audio_anomaly_detector.settings import validated

    change: dict[str, Any] = {}
    if false_alarm_rate is not None:
        change["false_alarm_rate"] = false_alarm_rate
    if method is not None:
        change["method"] = method
    if value is not None:
        change |= {"method": "value", "value": value}
    if not change:
        return detector
    config = detector.threshold_config
    return detector.with_threshold(validated(type(config), {**config.model_dump(), **change}))


def _choice(option: str, value: str, *known: str) -> Any:
    if value not in known:
        raise UserError(f"{option} {value}: choose one of {', '.join(known)}")
    return value


def _count(option: str, value: str) -> int:
    if not value.isdigit():
        raise UserError(f"{option} {value}: give a whole number, or all")
    return int(value)


def _report_failures(failures: list[Any]) -> int:
    """List what failed on stderr; the exit code that goes with it."""
    for error in failures:
        print(f"failed: {error}", file=sys.stderr)
    return SOME_FAILED if failures else DONE


def execute(program: typer.Typer) -> None:
    """Run a command line program and leave with its exit code; errors are one line each."""
    try:
        code = program(standalone_mode=False)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        code = FAILED
    except typer.TyperException as error:  # wrong usage
        print(f"error: {error.format_message()} See --help.", file=sys.stderr)
        code = FAILED
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted; start again to go on", file=sys.stderr)
        code = 130
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        print(
            f"error: {type(error).__name__}: {error}; this is a fault of the program: "
            "run it again with --debug and report what it prints",
            file=sys.stderr,
        )
        code = FAILED
    sys.exit(code)


def main() -> None:
    """Entry point of the command `aad`."""
    execute(app)
