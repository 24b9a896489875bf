"""Climbing against the search of everything."""

from __future__ import annotations

from itertools import product

import hypothesis.strategies as st
from hypothesis import given

from kdiffe_dgl.models.climb import climb

LEVELS = (0.0, 0.1, 0.2, 0.4, 0.8)


@given(
    st.lists(st.tuples(st.sampled_from(LEVELS), st.floats(0.1, 3.0)), min_size=1, max_size=3),
    st.data(),
)
def test_the_top_of_a_hill_is_found_from_anywhere_and_nothing_is_measured_twice(tops, data):
    start = data.draw(st.tuples(*[st.sampled_from(LEVELS)] * len(tops)))
    measured = []

    def height(weights):
        measured.append(weights)
        return -sum(slope * abs(weight - top) for weight, (top, slope) in zip(weights, tops, strict=True))

    found, value = climb(start, height, LEVELS)
    assert len(measured) == len(set(measured))
    assert value == max(map(height, product(LEVELS, repeat=len(tops)))) == height(found)


def test_one_worse_level_is_passed_and_two_are_not():
    heights = dict(zip(LEVELS, (0.0, 1.0, 0.5, 2.0, 1.0), strict=True))
    assert climb([0.1], lambda weights: heights[weights[0]], LEVELS) == ((0.4,), 2.0)
    assert climb([0.0], lambda weights: {0.0: 1.0, 0.8: 2.0}.get(weights[0], 0.0), LEVELS) == ((0.0,), 1.0)


def test_a_tie_stays_where_it_is_and_the_start_need_be_no_level():
    assert climb([0.15, 0.3], lambda weights: 1.0, LEVELS) == ((0.15, 0.3), 1.0)
    assert climb([], lambda weights: 1.0, LEVELS) == ((), 1.0)
