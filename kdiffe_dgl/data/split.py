"""Splitting interactions into training, validation and test.

A user needs a training interaction before anything can be held out for evaluation, so users with too
few interactions keep everything in training, except under the global cut by time, which asks what the
future holds and may leave a late user without training interactions (reported, not hidden).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from kdiffe_dgl.errors import InputError

__all__ = ["DEFAULT_RATIOS", "STRATEGIES", "split_interactions"]

STRATEGIES = ("given", "ratio", "leave_one_out", "time")
DEFAULT_RATIOS = (0.8, 0.1, 0.1)


def split_interactions(
    interactions: pl.DataFrame,
    strategy: str = "ratio",
    seed: int = 0,
    ratios: Sequence[float] = DEFAULT_RATIOS,
) -> pl.DataFrame:
    """Assign each interaction to ``train``, ``validation`` or ``test``.

    Parameters
    ----------
    interactions
        Columns ``user`` and ``item`` (a pair occurs once), and as the strategy needs ``split`` or
        ``timestamp`` (seconds).
    strategy
        ``"given"`` keeps the splits that are there. ``"ratio"`` draws the given shares of each
        user's interactions at random, held-out shares rounded half up; a user whose shares round to
        nothing keeps everything in training (with 8:1:1, fewer than 5 interactions).
        ``"leave_one_out"`` takes each user's last interaction for test and the one before for
        validation, last by timestamp where there is one and else at random; users with fewer than 3
        interactions keep everything in training. ``"time"`` cuts all interactions at two points in
        time, so that the shares are as given; what happened in the second of a cut stays before it.
    seed
        Seeds the draws; the same interactions and seed give the same split, whatever the row order.
    ratios
        Shares of training, validation and test, in any unit.

    Returns
    -------
    polars.DataFrame
        The interactions with ``split`` filled in, sorted by user and item.

    Raises
    ------
    InputError
        If the strategy is unknown, the ratios make no sense, or a column that it needs is missing.
    """
    frame = interactions.sort("user", "item")
    if strategy == "given":
        return _given(frame)
    if strategy == "ratio":
        return _by_ratio(frame, seed, _shares(ratios))
    if strategy == "leave_one_out":
        return _leave_one_out(frame, seed)
    if strategy == "time":
        return _by_time(frame, _shares(ratios))
    raise InputError(f"split strategy {strategy!r} is unknown; expected {', '.join(STRATEGIES)}")


def _shares(ratios: Sequence[float]) -> tuple[float, float, float]:
    if len(ratios) != 3 or not all(np.isfinite(ratios)) or min(ratios) < 0 or ratios[0] <= 0:
        shown = ":".join(f"{ratio:g}" for ratio in ratios)
        raise InputError(
            f"split ratios {shown}: expected three shares for training, validation and test, "
            "none negative and training above 0"
        )
    total = float(sum(ratios))
    return ratios[0] / total, ratios[1] / total, ratios[2] / total


def _given(frame: pl.DataFrame) -> pl.DataFrame:
    missing = len(frame) if "split" not in frame.columns else frame["split"].null_count()
    if missing:
        raise InputError(
            f"split strategy 'given': {missing} of {len(frame)} interactions have no split; "
            "expected one for each, or another strategy"
        )
    return frame


def _by_ratio(frame: pl.DataFrame, seed: int, shares: tuple[float, float, float]) -> pl.DataFrame:
    _, validation, test = shares
    count = pl.col("_count")
    # The small term keeps a product such as 0.1 * 45 = 4.499... from being rounded down.
    ranked = _ranked(frame, seed).with_columns(
        (count * validation + 0.5 + 1e-9).floor().cast(pl.Int64).alias("_validation"),
        (count * test + 0.5 + 1e-9).floor().cast(pl.Int64).alias("_test"),
    )
    return _hold_out(ranked)


def _leave_one_out(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    held_out = pl.when(pl.col("_count") >= 3).then(1).otherwise(0).cast(pl.Int64)
    ranked = _ranked(frame, seed, by_time=True)
    return _hold_out(ranked.with_columns(held_out.alias("_validation"), held_out.alias("_test")))


def _ranked(frame: pl.DataFrame, seed: int, by_time: bool = False) -> pl.DataFrame:
    """Rank each user's interactions from 0, at random or in order of time with ties at random."""
    key = pl.Series("_key", np.random.default_rng(seed).random(len(frame)))
    # An interaction without a timestamp counts as the oldest: nulls sort first.
    order = ["timestamp", "_key"] if by_time and "timestamp" in frame.columns else ["_key"]
    return (
        frame.with_columns(key)
        .sort("user", *order)
        .with_columns(
            pl.int_range(pl.len()).over("user").alias("_rank"),
            pl.len().over("user").cast(pl.Int64).alias("_count"),
        )
    )


def _hold_out(ranked: pl.DataFrame) -> pl.DataFrame:
    """Give the last ``_test`` of each user to test, the ``_validation`` before them to validation."""
    left = pl.col("_count") - pl.col("_test")
    too_few = pl.col("_test") + pl.col("_validation") >= pl.col("_count")
    split = (
        pl.when(too_few)
        .then(pl.lit("train"))
        .when(pl.col("_rank") >= left)
        .then(pl.lit("test"))
        .when(pl.col("_rank") >= left - pl.col("_validation"))
        .then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
    )
    return _finish(ranked.with_columns(split.alias("split")))


def _by_time(frame: pl.DataFrame, shares: tuple[float, float, float]) -> pl.DataFrame:
    missing = len(frame) if "timestamp" not in frame.columns else frame["timestamp"].null_count()
    if missing:
        raise InputError(
            f"split strategy 'time': {missing} of {len(frame)} interactions have no timestamp; "
            "expected one for each, or another strategy"
        )
    if frame.is_empty():
        return frame.with_columns(pl.lit(None, dtype=pl.Utf8).alias("split"))
    times = frame["timestamp"].sort()
    last = len(times) - 1
    ends = [
        times[min(last, max(0, int(np.ceil(len(times) * share - 1e-9)) - 1))]
        for share in (shares[0], shares[0] + shares[1])
    ]
    time = pl.col("timestamp")
    split = (
        pl.when(time <= ends[0])
        .then(pl.lit("train"))
        .when(time <= ends[1])
        .then(pl.lit("validation"))
        .otherwise(pl.lit("test"))
    )
    return _finish(frame.with_columns(split.alias("split")))


def _finish(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.exclude("^_.*$")).sort("user", "item")
