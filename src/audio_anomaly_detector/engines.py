"""Ways to run jobs: one class with `map` each, a word in `EngineName` and a line in `ENGINES`.

Every engine gives the same results; they differ in where a job runs and in which failures leave
the other jobs unharmed. An engine keeps no state, and ends the processes that it starts, also when
it is interrupted.
"""

import logging
import os
import signal
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Literal, NamedTuple, TypeVar

from audio_anomaly_detector.errors import UserError, one_line

_MOST_ATTEMPTS = 2
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_RAY_RETRIES = 3  # lost nodes are no fault of the job
_RAY_OBJECT_STORE = 200_000_000  # bytes; nothing larger than a list of clips is sent

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Failed:
    """A job that gave no result.

    Args:
        reason: in one line.
    """

    reason: str


Results = Generator[tuple[int, R | Failed], None, None]


@dataclass(frozen=True)
class Engine(ABC):
    """Runs a function on jobs.

    Args:
        workers: jobs at the same time on this machine.
        cores: CPU cores that a job uses.
        gpus: GPUs that a job uses; a fraction lets several share one. For a cluster's scheduler.
        address: of a running Ray cluster, such as ``10.0.0.1:6379`` or ``auto``.
    """

    workers: int = 1
    cores: int = 1
    gpus: float = 0
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or self.cores < 1:
            raise UserError(
                f"{self.workers} workers of {self.cores} cores cannot run a job; give at least 1"
            )

    @abstractmethod
    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Results[R]:
        """Apply a function to every job.

        Args:
            function: of a module that workers can import; an exception in it fails its job only.
            jobs: at least one; they can be pickled.

        Yields:
            The position of a job and its result, in the order in which they finish.

        Raises:
            UserError: the engine cannot be started.
        """


class Serial(Engine):
    """In this process, one after the other."""

    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Results[R]:
        """Apply a function to every job; see `Engine.map`."""
        for index, job in enumerate(jobs):
            yield index, _attempt(function, job)


class Processes(Engine):
    """On this machine, each job in a process of its own.

    A job gets a fresh process, so that its memory is freed after it and a process that dies, for
    lack of memory for example, ends no other job. On Linux it is forked from a launcher that has
    imported what the job needs and computed nothing, for imports take seconds (a fork of this
    process would copy the locks of PyTorch's threads). The fork server of `multiprocessing` does
    the same, but it listens at a socket in a folder that a killed run leaves behind. A job whose
    process died is tried once more, alone, when all others are done.
    A script that uses this engine needs the usual ``if __name__ == "__main__":``.
    """

    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Results[R]:
        """Apply a function to every job; see `Engine.map`."""
        context = get_context("spawn")
        if sys.platform != "linux":
            yield from _each_in_a_process(context, function, jobs, self.workers)
            return
        ours, its = context.Pipe()
        launcher = context.Process(target=_launch, args=(function, jobs, self.workers, its))
        undone = set(range(len(jobs)))
        try:
            _start_undisturbed(launcher)
            its.close()
            while undone:
                try:
                    index, result = ours.recv()
                except (EOFError, ConnectionError):
                    launcher.join()
                    reason = f"the process that starts workers {_how_it_ended(launcher.exitcode)}"
                    yield from ((index, Failed(reason)) for index in sorted(undone))
                    return
                undone.remove(index)
                yield index, result
        finally:
            ours.close()  # which the launcher notices; before it listens, the signal ends it
            if launcher.pid is not None:
                launcher.terminate()
                launcher.join()


class Ray(Engine):
    """On a cluster that runs Ray, or on this machine if no address is given.

    The data and the folder for the results must lie on storage that all nodes see under the same
    paths, and the package must be installed on all of them. Jobs of a node that is lost are run
    again on the others.
    """

    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Results[R]:
        """Apply a function to every job; see `Engine.map`."""
        ray = _import_ray()
        ours = not ray.is_initialized()
        waiting: dict[Future[R | Failed], int] = {}
        references = []
        try:
            if ours:
                with _own_signal_handlers():
                    self._connect(ray)
            # max_calls: a fresh process per job gives its memory back.
            task = ray.remote(
                num_cpus=self.cores, num_gpus=self.gpus, max_retries=_RAY_RETRIES, max_calls=1
            )(_attempt)
            for index, job in enumerate(jobs):
                references.append(task.remote(function, job))
                waiting[references[-1].future()] = index
            # Signals interrupt waiting for a future; Ray's own `wait` makes another error of them.
            for done in as_completed(waiting):
                try:
                    result = done.result()
                except ray.exceptions.RayError as error:
                    result = Failed(f"lost on the cluster: {_main_line(error)}")
                yield waiting[done], result
        finally:
            if ours:
                ray.shutdown()  # on a cluster this ends our jobs, not the cluster
            else:
                for reference in references:
                    ray.cancel(reference, force=True)  # no effect on what is done

    def _connect(self, ray: ModuleType) -> None:
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            try:
                ray.init(
                    address="local",
                    num_cpus=self.workers * self.cores,
                    object_store_memory=_RAY_OBJECT_STORE,
                    **quiet,
                )
            except OSError as error:  # a full disk, or too long a path of its sockets
                raise UserError(
                    f"Ray cannot be started ({one_line(error)}); set the variable TMPDIR to a "
                    "folder with a short name and some room, or take --engine processes"
                ) from error
            return
        try:
            _check_reachable(self.address)
            ray.init(address=self.address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"no Ray cluster at {self.address} ({one_line(error)}); start one with "
                "'ray start --head' and give its address, or leave --address out"
            ) from error


EngineName = Literal["serial", "processes", "ray"]
ENGINES: dict[EngineName, type[Engine]] = {"serial": Serial, "processes": Processes, "ray": Ray}


def make_engine(
    name: EngineName,
    workers: int | None = None,
    cores: int | None = None,
    gpus: float = 0,
    address: str | None = None,
) -> Engine:
    """An engine that uses this machine in full, unless told otherwise.

    Args:
        name: a name in `ENGINES`.
        workers: jobs at the same time; None: as many as there are cores, serial: one.
        cores: CPU cores that a job uses; None: all, shared by the workers.
        gpus: see `Engine`.
        address: see `Engine`.
    """
    workers = 1 if name == "serial" else workers or cpu_cores()
    return ENGINES[name](workers, cores or max(1, cpu_cores() // workers), gpus, address)


def cpu_cores() -> int:
    """CPU cores of this machine."""
    return os.cpu_count() or 1


class _Run(NamedTuple):
    process: BaseProcess
    job: int
    attempt: int


def _attempt(function: Callable[[J], R], job: J) -> R | Failed:
    try:
        return function(job)
    except Exception as error:  # whatever it is, it fails this job only
        return Failed(f"{type(error).__name__}: {one_line(error)}")


def _start_undisturbed(process: BaseProcess) -> None:
    """Start a process that Ctrl-C does not reach, and do not be interrupted half-way.

    Ctrl-C reaches the whole group of processes; who starts one ends it. Signals interrupt the main
    thread alone, and a process has the signal mask of the thread that starts it.
    """

    def start() -> None:
        resource_tracker.ensure_running()  # which, started with the process, would unblock it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        process.start()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(start).result()


def _launch(function: Callable[[J], R], jobs: Sequence[J], workers: int, user: Connection) -> None:
    """Send the user of the engine every result, until he closes the connection or dies."""
    for number in (signal.SIGINT, *_ENDING):  # the user's end is what counts
        signal.signal(number, signal.SIG_IGN)
    with closing(_each_in_a_process(get_context("fork"), function, jobs, workers, user)) as results:
        try:
            for result in results:
                user.send(result)
        except BrokenPipeError:
            return  # nobody wants the rest


def _each_in_a_process(
    context: ForkContext | SpawnContext,
    function: Callable[[J], R],
    jobs: Sequence[J],
    workers: int,
    user: Connection | None = None,
) -> Results[R]:
    """Results of jobs in processes of their own, until something comes from the user."""
    waiting = deque((index, 1) for index in range(len(jobs)))
    running: dict[Connection, _Run] = {}
    try:
        while waiting or running:
            while waiting and len(running) < (workers if waiting[0][1] == 1 else 1):
                index, attempt = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(
                    target=_work, args=(function, jobs[index], sender)
                )
                process.start()
                sender.close()  # now the worker holds the only one: its end is the pipe's end
                running[receiver] = _Run(process, index, attempt)
            ready = wait([*running, *([] if user is None else [user])])
            if user in ready:
                return
            for receiver in [receiver for receiver in running if receiver in ready]:
                process, index, attempt = running.pop(receiver)
                try:
                    with receiver:
                        result = receiver.recv()
                except (EOFError, OSError):  # it died before it sent a result
                    process.join()
                    if attempt < _MOST_ATTEMPTS:
                        waiting.append((index, attempt + 1))
                        continue
                    result = Failed(
                        f"its worker process {_how_it_ended(process.exitcode)} "
                        f"{_MOST_ATTEMPTS} times; run it alone to see why"
                    )
                process.join()
                yield index, result
    finally:
        for process, _, _ in running.values():
            process.kill()
            process.join()


def _work(function: Callable[[J], R], job: J, sender: Connection) -> None:
    """Do one job in a process of its own."""
    leave_signals_to_parent()  # see `_start_undisturbed`
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(_attempt(function, job))


def leave_signals_to_parent() -> None:
    """In a worker process: the parent answers Ctrl-C, and a request to end just ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)


def _end_with_parent() -> None:
    """End with the parent: an orphan would write to the same files as the next run."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        cause = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was ended by {name}{cause}"
    return f"ended with exit code {exit_code}"


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # By default a job that was killed for lack of memory is tried for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(_RAY_RETRIES))
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UserError(
            "the engine ray needs Ray; install it with: pip install 'audio-anomaly-detector[dist]'"
        ) from error
    return ray


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep this program's answers to signals, in whose place Ray puts its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _check_reachable(address: str) -> None:
    """Fail at once where no server listens; Ray itself would wait for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def _main_line(error: Exception) -> str:
    """The informative line of Ray's long messages: of a traceback the last, else the first."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1 if 'Traceback' in str(error) else 0].strip()}"
