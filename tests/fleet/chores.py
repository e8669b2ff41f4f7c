"""Functions that workers of other processes can import."""

import os
import time
from pathlib import Path


def square(job: int) -> int:
    if job == 3:
        raise ValueError("three\nis odd")
    return job * job


def nap(job: float) -> float:
    time.sleep(job)
    return job


def die(job: int) -> int:
    """Kill the worker on job 1."""
    if job == 1:
        os._exit(7)
    return job


def die_once(job: tuple[int, str]) -> int:
    """Kill the worker with the signal of the out-of-memory killer when first tried."""
    number, folder = job
    mark = Path(folder) / str(number)
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return number


def count_alone(folder: str) -> int:
    """How many jobs run at the same time; killed the first time."""
    mark = Path(folder) / f"{os.getpid()}.running"
    mark.touch()
    time.sleep(0.5)
    beside = len(list(Path(folder).glob("*.running")))
    first = Path(folder) / "first"
    try:
        first.touch(exist_ok=False)
    except FileExistsError:
        mark.unlink()
        return beside
    mark.unlink()
    os._exit(1)


def sleep_and_tell(job: tuple[int, str, float]) -> tuple[int, str]:
    """Write down which node a job was begun on, and take some time."""
    number, folder, seconds = job
    import ray

    node = ray.get_runtime_context().get_node_id()
    Path(folder, f"{number}.{node}").touch()
    time.sleep(seconds)
    return number, node


def leave_running(job: str) -> None:
    """Tell the process id and stay."""
    Path(job).write_text(str(os.getpid()))
    time.sleep(60)
