"""Tasks that run at the same time, and the threads that they get."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from kdiffe_dgl.side_by_side import child_generators, side_by_side


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("available", "count", "each"), [(4, 2, 2), (2, 3, 1), (1, 3, 1), (4, 1, 4)])
@pytest.mark.usefixtures("threads")
def test_threads_are_shared_out_and_given_back(available: int, count: int, each: int) -> None:
    torch.set_num_threads(available)
    together = threading.Barrier(min(available, count), timeout=20)

    def task(number: int) -> tuple[int, int]:
        if number < together.parties:
            together.wait()  # breaks unless so many run at once
        return number, torch.get_num_threads()

    tasks = [lambda number=number: task(number) for number in range(count)]
    assert side_by_side(tasks, [1.0] * count) == [(number, each) for number in range(count)]
    assert torch.get_num_threads() == available


@pytest.mark.usefixtures("threads")
def test_an_error_comes_through_and_the_threads_are_given_back() -> None:
    torch.set_num_threads(2)

    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        side_by_side([fails, lambda: None], [1, 1])
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("threads")
def test_one_task_that_is_most_of_the_work_has_all_threads() -> None:
    torch.set_num_threads(2)
    found = side_by_side([lambda: (threading.current_thread(), torch.get_num_threads())] * 2, [10, 1])
    assert found == [(threading.current_thread(), 2)] * 2


def test_children_depend_on_the_seed_and_differ() -> None:
    def drawn(seed: int) -> list[list[float]]:
        children = child_generators(torch.Generator().manual_seed(seed), 3)
        return [torch.rand(4, generator=child).tolist() for child in children]

    assert drawn(1) == drawn(1)
    assert len({tuple(draws) for draws in drawn(1) + drawn(2)}) == 6
