"""The instruments: memory of a fresh process, exponents, plots, written figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from common import (
    Stopwatch,
    count,
    fitted_exponent,
    measure_fresh,
    peak_memory_mb,
    plot_scaling,
    print_table,
    write_results,
)
from probe import hold, stumble
from random_data import Sizes, heavy_tailed, random_dataset, random_interactions


def test_a_fresh_process_has_a_peak_of_its_own() -> None:
    ballast = np.ones(60 * 2**20 // 8)  # 60 MB here don't count there
    small = measure_fresh(hold, {"megabytes": 1}, threads=1)
    large = measure_fresh(hold, {"megabytes": 100}, threads=1)
    assert small["held"] == 1
    assert large["held"] == 100
    assert 80 < large["peak_memory_mb"] - small["peak_memory_mb"] < 120
    assert small["threads"] == "1"
    assert peak_memory_mb() > ballast.nbytes / 2**20


def test_a_failure_in_a_fresh_process_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="stumble ended with status 1"):
        measure_fresh(stumble, {})
    assert "on purpose" in capfd.readouterr().err


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.7])
def test_exponent_of_a_power_law(exponent: float) -> None:
    sizes = [10, 100, 1000]
    assert fitted_exponent(sizes, [3 * size**exponent for size in sizes]) == pytest.approx(exponent)


@pytest.mark.parametrize(("sizes", "values"), [([10], [1.0]), ([10, 10], [1.0, 2.0]), ([1, 10], [0.0, 1.0])])
def test_no_exponent_where_there_is_none(sizes: list[float], values: list[float]) -> None:
    assert fitted_exponent(sizes, values) is None


def test_figures_are_written_with_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "figures.json"
    write_results("unused", {"seconds": np.float32(1.5)}, file, threads=2)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["seconds"] == 1.5
    assert found["machine"]["threads"] == 2
    assert found["machine"]["versions"]["torch"]


def test_plot_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot_scaling(
        tmp_path / "plot.png",
        "title",
        "size",
        [10, 100],
        {"seconds": {"one": [1.0, 10.0], "none": [0.0, 0.0]}, "MB": {"all zero": [0.0, 0.0]}},
    )
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    print_table("title", ["size", "seconds"], [["10", 1.23456], None, ["exponent", None]])
    printed = capsys.readouterr().out
    assert "1.23" in printed
    assert "–" in printed
    assert "1.2345" not in printed


def test_stopwatch_adds_up() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.phase("a"):
            pass
    assert list(watch.seconds) == ["a"]
    assert watch.seconds["a"] >= 0


def test_counts_of_options() -> None:
    assert count("1e6") == 1_000_000
    for wrong in ("0", "-3", "1.5", "many"):
        with pytest.raises(argparse.ArgumentTypeError):
            count(wrong)


def test_heavy_tail_falls_as_one_over_rank() -> None:
    drawn = heavy_tailed(np.random.default_rng(0), 1000, 200_000)
    assert drawn.min() == 0
    assert drawn.max() == 999
    counts = np.bincount(drawn, minlength=1000)
    # The share of number k is log((k + 2) / (k + 1)) / log(1001).
    for k in (0, 9, 99):
        expected = 200_000 * np.log((k + 2) / (k + 1)) / np.log(1001)
        assert counts[k] == pytest.approx(expected, rel=0.2)


def test_random_data_has_the_sizes_asked_for() -> None:
    matrix = random_interactions(50, 40, 300, seed=0)
    assert matrix.nnz == 300
    assert matrix.shape == (50, 40)
    assert set(matrix.data) == {1.0}
    sizes = Sizes(users=30, items=20, interactions=200, entities=15, triples=500, relations=3, modalities=2)
    dataset = random_dataset(sizes, seed=0)
    assert (dataset.n_users, dataset.n_items) == (30, 20)
    assert dataset.kg is not None
    assert dataset.kg.n_entities == 35
    assert dataset.kg.n_relations == 3
    assert 0 < dataset.kg.n_triples <= 500
    assert set(dataset.kg.triples["head"]) == set(range(35))
    assert [matrix.shape for matrix in dataset.features.values()] == [(20, 128)] * 2
    assert len(dataset.pairs("validation"))
    assert random_dataset(Sizes(entities=0, modalities=0), seed=0).kg is None
