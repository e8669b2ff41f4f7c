"""Functions that workers of other processes can import."""

import os
import time
from pathlib import Path


def square(job: int) -> int:
    if job == 3:
        raise ValueError("three\nis odd")
    return job * job


def wait_for_file(job: str) -> str:
    while not Path(job).exists():
        time.sleep(0.05)
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


def die_then_count(job: tuple[str, str]) -> int:
    """Stay for a while, or kill the worker and, tried again, count the jobs that stay."""
    what, folder = job
    mark = Path(folder, what)
    if what == "stay":
        mark.touch()
        time.sleep(4)
        mark.unlink()
    elif not mark.exists():
        mark.touch()
        os._exit(1)
    return len(list(Path(folder).glob("stay")))


def nap_on_a_node(job: tuple[int, str]) -> int:
    """Sleep, and record which node began and which one ended it."""
    import ray

    number, folder = job
    node = ray.get_runtime_context().get_node_id()
    Path(folder, f"{number}.{node}.begun").touch()
    time.sleep(3)
    Path(folder, f"{number}.{node}.done").touch()
    return number


def leave_running(job: str) -> None:
    """Write the process id and stay."""
    Path(job).write_text(str(os.getpid()))
    time.sleep(60)
