"""Neighbours and clusters against brute force; rows without features; any names of modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError, ModalitySettings, modality_graph, write_knowledge_graph
from kg_builders import neighbours as neighbours_module
from kg_builders.modality import EXACT_LIMIT
from kg_builders.neighbours import (
    approximate_neighbours,
    estimate_recall,
    mutual_pairs,
    nearest_neighbours,
    neighbour_pairs,
    unit_rows,
)
from kg_builders.schema import ITEM


def brute_force(matrix: np.ndarray, k: int, centre: bool, min_similarity: float) -> dict[int, list[int]]:
    """Neighbours of each row, one pair of rows at a time."""
    matrix = matrix.astype(float)
    present = [index for index in range(len(matrix)) if np.any(matrix[index] != 0)]
    mean = matrix[present].mean(axis=0) if centre and present else np.zeros(matrix.shape[1])
    rows = {index: matrix[index] - mean for index in present}
    rows = {
        index: row for index, row in rows.items() if np.abs(row).max() > 1e-10 * np.abs(matrix[index]).max()
    }
    result: dict[int, list[int]] = {index: [] for index in range(len(matrix))}
    for index, row in rows.items():
        cosine = {
            other: round(float(row @ other_row / np.linalg.norm(row) / np.linalg.norm(other_row)), 9)
            for other, other_row in rows.items()
            if other != index
        }
        best = sorted(cosine, key=lambda other: (-cosine[other], other))[:k]
        result[index] = sorted(other for other in best if cosine[other] > min_similarity)
    return result


def matrices() -> st.SearchStrategy[np.ndarray]:
    row = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
    return st.lists(row, min_size=1, max_size=14).map(lambda rows: np.array(rows, dtype=np.float32))


@given(matrices(), st.integers(1, 5), st.booleans(), st.sampled_from([0.0, -1.0, 0.5]), st.integers(1, 6))
@settings(max_examples=120, deadline=None)
def test_neighbours_agree_with_brute_force_ties_and_zeros_included(
    matrix: np.ndarray, k: int, centre: bool, min_similarity: float, block: int
) -> None:
    unit, usable = unit_rows(matrix, centre)
    row, neighbour, cosine = nearest_neighbours(unit, usable, k, min_similarity, block)
    found: dict[int, list[int]] = {index: [] for index in range(len(matrix))}
    for index, other in zip(row.tolist(), neighbour.tolist(), strict=True):
        found[index].append(other)
    assert found == brute_force(matrix, k, centre, min_similarity)
    assert np.all(cosine > min_similarity)
    directed = {(index, other) for index, others in found.items() for other in others}
    either = {(min(pair), max(pair)) for pair in directed}
    both = {(a, b) for a, b in directed if a < b and (b, a) in directed}
    assert (
        set(zip(*map(np.ndarray.tolist, neighbour_pairs(row, neighbour, len(matrix))), strict=True)) == either
    )
    assert set(zip(*map(np.ndarray.tolist, mutual_pairs(row, neighbour, len(matrix))), strict=True)) == both


def test_neighbours_of_many_rows_in_blocks() -> None:
    matrix = np.random.default_rng(1).normal(size=(300, 16)).astype(np.float16)
    unit, usable = unit_rows(matrix, True)
    whole = nearest_neighbours(unit, usable, 7, block=1000)
    blocks = nearest_neighbours(unit, usable, 7, block=37)
    for left, right in zip(whole, blocks, strict=True):
        np.testing.assert_array_equal(left, right)
    assert np.bincount(whole[0]).tolist() == [7] * 300
    expected = brute_force(matrix, 7, True, 0.0)
    assert whole[1].reshape(300, 7).tolist() == [expected[index] for index in range(300)]


def test_a_block_never_holds_more_similarities_than_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(1).integers(-1, 2, (90, 3)).astype(np.float32)
    unit, usable = unit_rows(matrix, True)
    whole = nearest_neighbours(unit, usable, 4)
    seen: list[int] = []
    compare = neighbours_module._compare

    def watched(*given: Any) -> Any:
        seen.append(len(given[2]))
        return compare(*given)

    monkeypatch.setattr(neighbours_module, "_BYTES", 90 * 8 * 7)
    monkeypatch.setattr(neighbours_module, "_compare", watched)
    small = nearest_neighbours(unit, usable, 4)
    assert max(seen) == 7
    for left, right in zip(whole, small, strict=True):
        np.testing.assert_array_equal(left, right)


def test_unit_rows_in_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(5).normal(size=(50, 4)) + 3
    matrix[[4, 11]] = 0
    expected = unit_rows(matrix, True)
    monkeypatch.setattr(neighbours_module, "_ROWS", 7)
    np.testing.assert_allclose(unit_rows(matrix, True)[0], expected[0], atol=1e-12)
    np.testing.assert_array_equal(unit_rows(matrix, True)[1], expected[1])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rows_filled_with_the_mean_have_no_direction(kind: type[np.floating]) -> None:
    """The mean as a row's type can hold it differs from the mean; rounding must not choose neighbours."""
    matrix = (np.random.default_rng(6).normal(size=(40, 8)) + 50).astype(kind)
    matrix[5] = matrix[np.arange(40) != 5].astype(np.float64).mean(axis=0)
    assert np.flatnonzero(~unit_rows(matrix, True)[1]).tolist() == [5]
    missing = np.arange(40) == 9
    unit, usable = unit_rows(matrix, True, missing)
    assert np.flatnonzero(~usable).tolist()[-1] == 9
    rest = matrix[~missing]
    np.testing.assert_allclose(unit[~missing], unit_rows(rest, True)[0], atol=1e-6)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, 33) ** -0.5
    centres = rng.normal(size=(40, 32)) * spectrum
    return centres[rng.integers(0, 40, count)] + 0.6 * rng.normal(size=(count, 32)) * spectrum


def test_approximate_neighbours_are_most_of_the_exact_ones() -> None:
    faiss = pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
    matrix = clustered(4000)
    matrix[[3, 70]] = 0
    unit, usable = unit_rows(matrix, True)
    exact = nearest_neighbours(unit, usable, 10)
    found = approximate_neighbours(unit, usable, 10, probes=16)
    codes = [part[0] * 4000 + part[1] for part in (exact, found)]
    recall = float(np.isin(codes[0], codes[1]).mean())
    assert recall > 0.95
    estimate = estimate_recall(unit, usable, found, 10, sample=3998)
    assert estimate == pytest.approx(recall, abs=1e-9)
    # The same format: sorted, exact cosines, as many neighbours.
    assert (np.diff(codes[1]) > 0).all()
    np.testing.assert_allclose(found[2], (unit[found[0]] * unit[found[1]]).sum(axis=1), atol=1e-8)
    assert set(np.bincount(found[0], minlength=4000)[usable]) == {10}
    assert not np.isin([3, 70], found[0]).any()
    assert not np.isin([3, 70], found[1]).any()
    # All cells looked at: nothing is missed, and the number of threads changes nothing.
    every = approximate_neighbours(unit, usable, 10, probes=10_000)
    np.testing.assert_array_equal(every[0] * 4000 + every[1], codes[0])
    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(2)
        again = approximate_neighbours(unit, usable, 10, probes=16)
    finally:
        faiss.omp_set_num_threads(threads)
    for left, right in zip(found, again, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_approximate_neighbours_of_hardly_any_rows(rows: int) -> None:
    pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
    matrix = np.zeros((5, 3))
    matrix[:rows] = np.eye(3)[:rows] + 1
    unit, usable = unit_rows(matrix, False)
    exact, found = nearest_neighbours(unit, usable, 4), approximate_neighbours(unit, usable, 4)
    for left, right in zip(exact, found, strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_way_of_finding_neighbours_is_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [str(index) for index in range(300)]
    _, reports = modality_graph({"m": clustered(300)}, ids)
    assert (reports["m"].method, reports["m"].recall) == ("exact", None)
    assert EXACT_LIMIT >= 10_000
    pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
    monkeypatch.setattr("kg_builders.modality.EXACT_LIMIT", 299)
    _, reports = modality_graph({"m": clustered(300)}, ids)
    assert reports["m"].method == "approximate"
    assert reports["m"].recall is not None
    assert reports["m"].recall > 0.9
    _, reports = modality_graph({"m": clustered(300)}, ids, ModalitySettings(method="exact"))
    assert reports["m"].method == "exact"


def test_missing_rows_get_no_facts() -> None:
    matrix = np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.15], [-1.0, 0.5], [-1.0, 0.4]])
    missing = np.array([False, False, True, False, False])
    ids = list("abcde")
    kg, reports = modality_graph({"m": matrix}, ids, ModalitySettings(clusters=2), missing={"m": missing})
    named = kg.to_named()
    assert "c" not in {*named["head_id"], *named.filter(pl.col("tail_kind") == ITEM)["tail_id"]}
    assert reports["m"].missing == 1
    with pytest.raises(
        InputError, match=r"features 'm': the missing rows are told for \(2,\) items; expected 5"
    ):
        modality_graph({"m": matrix}, ids, missing={"m": missing[:2]})


@given(st.lists(st.lists(st.integers(-1, 1), min_size=2, max_size=2), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_repeated_rows_are_counted(rows: list[list[int]]) -> None:
    matrix = np.array(rows, dtype=np.float32) * -1
    present = [tuple(row) for row in rows if any(row)]
    expected = sum(present.count(row) > 1 for row in present)
    _, reports = modality_graph({"m": matrix}, [str(n) for n in range(len(rows))])
    assert reports["m"].repeated == expected


def test_unit_rows_survive_tiny_and_huge_numbers() -> None:
    matrix = np.array([[1e-200, 2e-200], [3e200, 4e200], [0.0, 0.0]])
    unit, usable = unit_rows(matrix, centre=False)
    np.testing.assert_allclose(unit, [[1 / 5**0.5, 2 / 5**0.5], [0.6, 0.8], [0, 0]])
    assert usable.tolist() == [True, True, False]


def test_centring_finds_what_a_common_part_hides() -> None:
    rng = np.random.default_rng(2)
    group = np.arange(40) % 2
    matrix = 100 + rng.normal(size=40)[:, None] + np.where(group[:, None] == 1, 1.0, -1.0) * [1, -1, 1]
    unit, usable = unit_rows(matrix, True)
    row, neighbour, _ = nearest_neighbours(unit, usable, 5)
    assert np.mean(group[row] == group[neighbour]) > 0.95


def test_graph_of_two_modalities() -> None:
    rng = np.random.default_rng(3)
    group = np.arange(30) % 3
    look = np.eye(3)[group] + 0.01 * rng.normal(size=(30, 3))
    look[7] = 0
    smell = rng.normal(size=(30, 5))
    smell[4] = smell[9]
    ids = [f"i{index}" for index in range(30)]
    each = {
        "look": ModalitySettings(neighbours=3, clusters=3),
        "smell": ModalitySettings(neighbours=2, clusters=0),
    }
    kg, reports = modality_graph({"look": look, "smell": smell}, ids, each)
    assert kg.entities["id"].to_list()[:30] == ids
    assert kg.relations.select("name", "symmetric").rows() == [
        ("in_look_cluster", False), ("look_neighbour", True), ("smell_neighbour", True),
    ]  # fmt: skip
    named = kg.to_named()
    clusters = named.filter(pl.col("relation") == "in_look_cluster")
    assert set(clusters["tail_kind"]) == {"look_cluster"}
    by_cluster = clusters.group_by("tail_id").agg(pl.col("head_id").str.slice(1).cast(pl.Int64) % 3)
    assert sorted(set(members) == {members[0]} for members in by_cluster["head_id"].to_list()) == [True] * 3
    assert "i7" not in set(clusters["head_id"])
    near = named.filter(pl.col("relation") == "smell_neighbour")
    assert set(near["tail_kind"]) == {ITEM}
    pairs = {frozenset(pair) for pair in near.select("head_id", "tail_id").rows()}
    assert len(pairs) == len(near)
    expected = brute_force(smell, 2, True, 0.0)
    assert pairs == {frozenset((ids[a], ids[b])) for a, others in expected.items() for b in others}
    assert frozenset(("i4", "i9")) in pairs
    assert (reports["look"].missing, reports["look"].clusters, reports["smell"].clusters) == (1, 3, 0)
    assert (reports["smell"].repeated, reports["smell"].neighbour_pairs) == (2, len(pairs))
    assert reports["look"].to_dict()["items"] == 30


def test_clusters_are_numbered_by_their_first_item_and_never_exceed_distinct_rows() -> None:
    matrix = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]]), [3, 4], axis=0)
    kg, reports = modality_graph(
        {"m": matrix},
        [str(index) for index in range(7)],
        ModalitySettings(neighbours=0, clusters=5, centre=False),
    )
    assert kg.to_named().sort(pl.col("head_id"))["tail_id"].to_list() == ["0"] * 3 + ["1"] * 4
    assert (reports["m"].clusters, reports["m"].largest_cluster) == (2, 4)


def test_rows_without_features_or_all_alike_give_no_fact() -> None:
    for matrix, missing, plain in [
        (np.zeros((4, 2)), 4, 0),
        (np.ones((4, 2)), 0, 4),
        (np.ones((1, 2)), 0, 1),
    ]:
        ids = [str(index) for index in range(len(matrix))]
        kg, reports = modality_graph({"m": matrix}, ids)
        assert (kg.n_items, kg.n_triples) == (len(matrix), 0)
        assert (reports["m"].missing, reports["m"].plain) == (missing, plain)


def test_same_features_give_the_same_bytes(tmp_path: Path) -> None:
    matrix = np.random.default_rng(4).normal(size=(200, 8))
    ids = [str(index) for index in range(200)]
    contents = []
    for name in ("a", "b"):
        kg, _ = modality_graph({"m": matrix}, ids, ModalitySettings(seed=3))
        write_knowledge_graph(kg, tmp_path / name)
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"features 'm': have 2 rows; expected one for each of 3 items"),
        (np.array([[0.0], [np.nan], [1.0]]), r"features 'm': row 1 holds NaN or infinity"),
        (np.array([[0.0], [1.0], [np.inf]]), r"features 'm': row 2 holds NaN or infinity"),
        (np.zeros(3), r"features 'm': have shape \(3,\)"),
        (np.zeros((3, 0)), r"features 'm': have shape \(3, 0\)"),
        (
            np.array([["a"], ["b"], ["c"]]),
            r"features 'm': have shape \(3, 1\) and type <U1; expected numbers",
        ),
    ],
)
def test_bad_features(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        modality_graph({"m": matrix}, ["a", "b", "c"])


def test_settings_for_an_unknown_modality() -> None:
    with pytest.raises(InputError, match=r"modality 'imagee': no such features; did you mean 'image'"):
        modality_graph({"image": np.eye(2)}, ["a", "b"], {"imagee": ModalitySettings()})
