"""Processes that carry out jobs side by side: one that dies takes only its job with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from kdiffe_dgl.experiments.jobs import Job, JobResult, Sources, carry_out

__all__ = ["Worker", "wait_for"]

# A run that is stopped writes its best weights, which takes a moment on a slow disk.
_GRACE_SECONDS = 20.0


def _interrupt(number: int, frame: Any) -> None:
    # Once: a second signal would tear what the first one lets the trainer write.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _work(connection: Connection, threads: int) -> None:
    """Carry out jobs until there are no more, or the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGTERM, _interrupt)
    torch.set_num_threads(threads)
    sources = Sources()

    def told(record: dict[str, Any], best: bool) -> bool:
        connection.send((record, best))
        return bool(connection.recv())

    try:
        while True:
            job: Job = connection.recv()
            connection.send(carry_out(job, sources, told))
    except (EOFError, OSError, KeyboardInterrupt):
        # All is on disk, and taking the libraries down would cost seconds.
        os._exit(0)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let the processes that are started in the block ignore Ctrl-C from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Worker:
    """A process that carries out one job at a time.

    Parameters
    ----------
    threads
        Threads of torch, OpenMP and Polars in it.

    Attributes
    ----------
    job
        What it works on; null where it is idle.
    connection
        Where its messages arrive.
    """

    def __init__(self, threads: int) -> None:
        # Not forked: threads of OpenMP that the parent has started would be missing in the child.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, threads), daemon=True)
        number = str(threads)
        limits = {name: number for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")}
        with _environment(limits), _without_interrupts():
            self._process.start()
        theirs.close()
        self.job: Job | None = None

    def give(self, job: Job) -> None:
        """Hand over a job."""
        self.job = job
        try:
            self.connection.send(job)
        except OSError:
            return  # it is dead, which the next message tells

    def hear(self) -> JobResult | tuple[dict[str, Any], bool]:
        """Return its next message: the end of its job, or an epoch, to be answered by :meth:`go_on`.

        A process that died ends its job as failed.
        """
        assert self.job is not None
        try:
            message: JobResult | tuple[dict[str, Any], bool] = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(_GRACE_SECONDS)
            code = self._process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            hint = "; perhaps memory ran out, and fewer jobs at a time help" if code == -9 else ""
            return JobResult(self.job, "failed", f"its process ended with {how}{hint}")
        return message

    def go_on(self, wished: bool) -> None:
        """Answer an epoch: whether the run may go on."""
        try:
            self.connection.send(wished)
        except OSError:
            return  # as above

    @property
    def alive(self) -> bool:
        """Whether it can be given another job."""
        return self._process.is_alive()

    def ask_to_stop(self) -> None:
        """Interrupt what it does; its run can be gone on with."""
        self._process.terminate()
        self.connection.close()

    def end(self) -> None:
        """Wait for its end, which is made sure of."""
        try:
            self._process.join(_GRACE_SECONDS)
        finally:
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()


def wait_for(workers: list[Worker]) -> list[Worker]:
    """Return those of the workers that have something to tell; waits until there is one."""
    by_connection = {worker.connection: worker for worker in workers}
    return [by_connection[ready] for ready in wait(list(by_connection)) if isinstance(ready, Connection)]
