"""Every engine gives the serial result, and loses nothing but what cannot be done."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from audio_anomaly_detector.engines import ENGINES, Engine, EngineName, Failed, make_engine
from audio_anomaly_detector.errors import UserError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The functions, importable here and in workers."""
    monkeypatch.syspath_prepend(HERE)
    import engine_functions

    return engine_functions


def results(engine: Engine, function: Callable[[Any], Any], jobs: list[Any]) -> dict[int, Any]:
    pairs = list(engine.map(function, jobs))
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_serial_goes_on_past_an_exception(functions: Any) -> None:
    expected = {0: 1, 1: 4, 2: Failed("ValueError: three is odd"), 3: 16}
    assert results(ENGINES["serial"](), functions.square, [1, 2, 3, 4]) == expected


def test_serial_stops_when_the_user_does() -> None:
    def interrupted(job: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results(ENGINES["serial"](), interrupted, [1])


def test_processes_give_the_serial_result(functions: Any) -> None:
    jobs = [1, 2, 3, 4]
    serial = results(ENGINES["serial"](), functions.square, jobs)
    assert results(ENGINES["processes"](workers=2), functions.square, jobs) == serial


def test_processes_yield_as_jobs_finish(functions: Any, tmp_path: Path) -> None:
    slow, fast = str(tmp_path / "slow"), str(tmp_path)
    run = ENGINES["processes"](workers=2).map(functions.wait_for_file, [slow, fast])
    assert next(run) == (1, fast)
    Path(slow).touch()
    assert list(run) == [(0, slow)]


def test_a_job_that_kills_its_worker_fails_alone(functions: Any) -> None:
    found = results(ENGINES["processes"](workers=2), functions.die, [0, 1, 2, 3])
    assert {index: found[index] for index in (0, 2, 3)} == {0: 0, 2: 2, 3: 3}
    assert found[1] == Failed(
        "its worker process ended with exit code 7 2 times; run it alone to see why"
    )


def test_a_job_whose_worker_was_killed_is_tried_again(functions: Any, tmp_path: Path) -> None:
    jobs = [(number, str(tmp_path)) for number in range(3)]
    assert results(ENGINES["processes"](), functions.die_once, jobs) == {0: 0, 1: 1, 2: 2}


def test_the_second_attempt_runs_alone(functions: Any, tmp_path: Path) -> None:
    jobs = [("die", str(tmp_path)), ("stay", str(tmp_path))]
    assert results(ENGINES["processes"](workers=2), functions.die_then_count, jobs)[0] == 0


def test_workers_end_when_the_run_is_given_up(functions: Any, tmp_path: Path) -> None:
    process_file = tmp_path / "process"
    run = ENGINES["processes"]().map(functions.leave_running, [str(process_file)])
    with pytest.raises(TimeoutError):
        _interrupt_when(run, process_file)
    assert not is_alive(int(process_file.read_text()))


def _interrupt_when(run: Iterator[Any], process_file: Path) -> None:
    """Raise in the engine, as Ctrl-C would, when its worker is at work."""

    def interrupt(*_: Any) -> None:
        if process_file.exists() and process_file.read_text():
            raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        next(run)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_no_orphans_behind_a_killed_run(tmp_path: Path) -> None:
    process_file = tmp_path / "process"
    script = (
        "import sys, engine_functions as functions\n"
        "from audio_anomaly_detector.engines import ENGINES\n"
        "if __name__ == '__main__':\n"
        "    list(ENGINES['processes']().map(functions.leave_running, sys.argv[1:]))\n"
    )
    (tmp_path / "script.py").write_text(script)
    paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths}
    run = subprocess.Popen([sys.executable, tmp_path / "script.py", process_file], env=environment)
    wait_for(lambda: process_file.exists() and process_file.read_text())
    run.kill()
    run.wait()
    worker = int(process_file.read_text())
    wait_for(lambda: not is_alive(worker))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no launcher")
def test_a_run_whose_launcher_is_killed_fails_and_ends(functions: Any, tmp_path: Path) -> None:
    process_file = tmp_path / "process"
    run = ENGINES["processes"]().map(functions.leave_running, [str(process_file)] * 2)
    killer = threading.Thread(target=_kill_the_launcher, args=[process_file])
    killer.start()
    found = dict(run)
    killer.join()
    reason = "the process that starts workers was ended by SIGKILL (out of memory?)"
    assert found == {0: Failed(reason), 1: Failed(reason)}
    wait_for(lambda: not is_alive(int(process_file.read_text())))


def _kill_the_launcher(process_file: Path) -> None:
    wait_for(lambda: process_file.exists() and process_file.read_text())
    stat = Path(f"/proc/{process_file.read_text()}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)


def test_nothing_is_left_among_the_temporary_files(
    functions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = ENGINES["processes"]().map(functions.square, [1, 2])
    next(run)
    assert not list(tmp_path.iterdir())  # so a kill leaves nothing, either
    assert list(run) == [(1, 4)]


@pytest.mark.parametrize("name", ENGINES)
def test_no_workers_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="at least 1"):
        ENGINES[name](workers=0)


def test_ray_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch, functions: Any) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"audio-anomaly-detector\[dist\]"):
        results(ENGINES["ray"](), functions.square, [1])


def test_ray_address_where_nobody_listens_is_one_line(functions: Any) -> None:
    pytest.importorskip("ray", reason="the extra 'dist' is not installed")
    with pytest.raises(UserError, match=r"no Ray cluster at 127.0.0.1:1 .*--address"):
        results(ENGINES["ray"](address="127.0.0.1:1"), functions.square, [1])


@pytest.mark.slow
def test_local_ray_gives_the_serial_result(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'dist' is not installed")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    jobs = [1, 2, 3, 4]
    serial = results(ENGINES["serial"](), functions.square, jobs)
    assert results(ENGINES["ray"](workers=2), functions.square, jobs) == serial
    assert not ray.is_initialized()


@pytest.mark.slow
def test_ray_makes_up_for_a_lost_node(
    functions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra 'dist'")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        jobs = [(number, str(tmp_path)) for number in range(4)]
        run = ENGINES["ray"](address=cluster.address).map(functions.nap_on_a_node, jobs)
        found = dict([next(run)])

        def at_work() -> list[str]:
            """Jobs that the node has begun and not ended."""
            begun = tmp_path.glob(f"*.{node.node_id}.begun")
            return [path.name[0] for path in begun if not path.with_suffix(".done").exists()]

        wait_for(at_work)
        cluster.remove_node(node, allow_graceful=False)
        lost = at_work()
        found |= dict(run)
        assert found == {0: 0, 1: 1, 2: 2, 3: 3}
        assert len(lost) == 1
        assert len(list(tmp_path.glob(f"{lost[0]}.*.begun"))) == 2
    finally:
        cluster.shutdown()


def test_by_default_an_engine_uses_every_core_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name, workers, cores, expected in (
        ("serial", None, None, (1, 8)),
        ("serial", 5, None, (1, 8)),  # one job after the other, whatever is asked for
        ("processes", None, None, (8, 1)),
        ("processes", 3, None, (3, 2)),
        ("processes", 16, None, (16, 1)),
        ("processes", None, 4, (8, 4)),
    ):
        engine = make_engine(name, workers, cores)
        assert type(engine) is ENGINES[name]
        assert (engine.workers, engine.cores) == expected


def test_the_names_of_the_engines_are_those_of_the_command_line() -> None:
    assert list(ENGINES) == list(get_args(EngineName))
