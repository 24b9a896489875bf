"""Near-duplicates: found as by comparing all pairs, and assigned without chains."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.merging import assign_near
from kg_builders.near import near_duplicates


@settings(deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda count: st.tuples(
            st.permutations(range(count)),
            st.dictionaries(
                st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda e: e[0] < e[1]),
                st.sampled_from([0.8, 0.9, 1.0]),
            ),
        )
    )
)  # fmt: skip
def test_assignment_is_the_greedy_one(case: tuple[list[int], dict[tuple[int, int], float]]) -> None:
    places, scores = case
    place = np.array(places)
    rows = [(*pair, score) for pair, score in sorted(scores.items())]
    near = pl.DataFrame(
        rows, schema={"first": pl.Int64, "second": pl.Int64, "score": pl.Float64}, orient="row"
    )
    chosen, _ = assign_near(
        near, np.empty((2, 0), dtype=np.int64), place, 0.85, np.zeros(len(place), dtype=bool)
    )
    strong = {frozenset(pair): score for pair, score in scores.items() if score >= 0.85}
    stays: list[int] = []
    expected = {}
    for node in sorted(range(len(place)), key=lambda node: place[node]):
        friends = [other for other in stays if frozenset((node, other)) in strong]
        if friends:
            expected[node] = min(friends, key=lambda other: (-strong[frozenset((node, other))], place[other]))
        else:
            stays.append(node)
            expected[node] = node
    assert chosen.tolist() == [expected[node] for node in range(len(place))]


WORDS = ["sonic", "sonics", "youth", "yoth", "the", "black", "blak", "9", "90"]


def longest_common_subsequence(one: str, other: str) -> int:
    previous = [0] * (len(other) + 1)
    for a in one:
        current = [0]
        for column, b in enumerate(other):
            current.append(previous[column] + 1 if a == b else max(previous[column + 1], current[-1]))
        previous = current
    return previous[-1]


def likeness(one: str, other: str) -> float:
    return 2 * longest_common_subsequence(one, other) / (len(one) + len(other))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
        min_size=2, max_size=8, unique_by=" ".join,
    )
)  # fmt: skip
def test_near_duplicates_against_all_pairs(words: list[list[str]]) -> None:
    forms = [" ".join(parts) for parts in words]
    frame = pl.DataFrame({"kind": "brand", "form": forms, "key": ["".join(parts) for parts in words]})
    found = {(a, b): score for a, b, score in near_duplicates(frame, 0.85).rows()}
    expected = {}
    for a in range(len(words)):
        for b in range(a + 1, len(words)):
            one, other = words[a], words[b]
            if [w for w in one if w.isdigit()] != [w for w in other if w.isdigit()] and sorted(one) != sorted(
                other
            ):
                continue
            if sorted(one) == sorted(other):
                score = 0.9
            elif set(one) <= set(other) or set(other) <= set(one):
                continue
            else:
                score = likeness("".join(one), "".join(other))
                if len(one) == len(other):
                    score = min(score, *(likeness(x, y) for x, y in zip(one, other, strict=True)))
                else:
                    score = min(score, 0.9)
            one_key, other_key = "".join(one), "".join(other)
            reached = (
                one_key[:3] == other_key[:3] or one_key[-3:] == other_key[-3:] or sorted(one) == sorted(other)
            )
            if round(score, 4) >= 0.85 and reached:
                expected[a, b] = round(score, 4)
    assert found == expected


def test_large_blocks_are_divided_and_still_found() -> None:
    rng = np.random.default_rng(3)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    # 3,000 names with the same beginning and the same end, and ten misspelt ones.
    names = ["com" + "".join(rng.choice(letters, 14)) + "ing" for _ in range(3_000)]
    frame = pl.DataFrame({"kind": "brand", "form": [*names, *(name[:9] + name[10:] for name in names[:10])]})
    found = near_duplicates(frame.with_columns(key="form"), 0.9)
    assert found.select("first", "second").rows() == [(index, 3_000 + index) for index in range(10)]


def test_a_kind_and_a_number_keep_names_apart() -> None:
    forms = ["samsung galaxy", "samsung galaxi", "samsung galaxy 2", "samsung galaxi 3"]
    frame = pl.DataFrame({"kind": ["a", "b", "a", "a"], "form": forms})
    assert near_duplicates(frame.with_columns(key=pl.col("form").str.replace_all(" ", "")), 0.8).is_empty()
