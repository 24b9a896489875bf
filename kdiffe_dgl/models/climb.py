"""The best of a few levels for each of several weights, where measuring one choice is not cheap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["LEVELS", "climb"]

LEVELS = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
"""Weights that are tried, beside those that the climb starts from."""
_AHEAD = 2

Weights = tuple[float, ...]


def climb(
    start: Sequence[float], measure: Callable[[Weights], float], levels: Sequence[float] = LEVELS
) -> tuple[Weights, float]:
    """Climb from level to level, one weight after the other, until none gains any more.

    The two levels next to the best one are tried in each direction: a single one that is worse by chance
    does not end the climb. Nothing is measured twice, and a tie stays where it is.

    Parameters
    ----------
    start
        Weights to start from, each at least 0.
    measure
        What is to be as great as possible.
    levels
        Values of a weight.

    Returns
    -------
    tuple of tuple of float, and float
        The weights, and what was measured with them.
    """
    ladder = sorted({*levels, *start})
    best: Weights = tuple(start)
    known = {best: measure(best)}

    def value(weights: Weights) -> float:
        if weights not in known:
            known[weights] = measure(weights)
        return known[weights]

    def gain(place: int, direction: int) -> Weights | None:
        """Return the first better choice in a direction; null: there is none within reach."""
        here = ladder.index(best[place])
        for at in range(here + direction, here + direction * (_AHEAD + 1), direction):
            if 0 <= at < len(ladder):
                tried = (*best[:place], ladder[at], *best[place + 1 :])
                if value(tried) > value(best):
                    return tried
        return None

    climbing = True
    while climbing:
        climbing = False
        for place in range(len(best)):
            for direction in (1, -1):
                while found := gain(place, direction):
                    best, climbing = found, True
    return best, value(best)
