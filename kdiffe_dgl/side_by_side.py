"""Independent computations on the threads that torch may use, one thread or a few for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["child_generators", "side_by_side"]

Result = TypeVar("Result")


_GREATEST_SHARE = 0.75


def side_by_side(tasks: Sequence[Callable[[], Result]], costs: Sequence[float]) -> list[Result]:
    """Run tasks at the same time and return what they return, in their order.

    Torch spreads a single operation over threads, which gains little where operations are short; tasks
    that know nothing of each other gain all of it. Threads are shared out evenly. Where there is one
    thread, or one task that is most of the work, each task has all threads in its turn.

    Parameters
    ----------
    tasks
        Functions without a parameter that share nothing they write to; randomness from generators of
        their own (:func:`child_generators`), or results would depend on who comes first.
    costs
        What each task takes, in any unit.

    Notes
    -----
    What one of them needs in memory, all need at once. An error or an interruption is raised when the tasks
    that run have ended. Whether gradients are recorded is each thread's own affair, and begins with yes.
    """
    threads = torch.get_num_threads()
    workers = min(len(tasks), threads)
    if workers <= 1 or max(costs) > _GREATEST_SHARE * sum(costs):
        return [task() for task in tasks]
    try:
        # The number of threads belongs to the thread that sets it; torch starts the next with the last.
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(threads // workers,)
        ) as pool:
            return list(pool.map(lambda task: task(), tasks))
    finally:
        torch.set_num_threads(threads)


def child_generators(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """Return generators on the same device, seeded by one: what is drawn from each is its own affair."""
    seeds = torch.randint(2**62, (count,), generator=generator, device=generator.device).tolist()
    return [torch.Generator(generator.device).manual_seed(seed) for seed in seeds]
