"""Top-K by dot product for many users over a large catalogue, in blocks: time and peak memory.

Run ``python benchmarks/topk.py --users 1e6 --items 1e5 --dim 64 --threads 2``; the defaults are smaller.
Representations are random, and each user has met a few items, which are left out. Several numbers of users
give a log-log plot. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import polars as pl
import torch
from common import (
    RESULTS,
    Figures,
    add_common_options,
    count,
    fitted_exponent,
    measure_fresh,
    peak_memory_mb,
    plot_scaling,
    print_table,
    reset_peak_memory,
    tell,
    write_results,
)
from random_data import heavy_tailed

from kdiffe_dgl.evaluation.ranking import rank_items
from kdiffe_dgl.serving.recommender import Recommender

MET = 5
"""Items that each user has met."""


def make_recommender(n_users: int, n_items: int, dim: int, seed: int) -> Recommender:
    """Return a recommender with random representations and histories."""
    generator = np.random.default_rng(seed)
    identities = []
    for side, size in (("user", n_users), ("item", n_items)):
        number = pl.int_range(size, dtype=pl.Int64, eager=True)
        identities.append(pl.DataFrame({side: number, "id": number.cast(pl.Utf8)}))
    users, items = (table.with_columns(label=pl.col("id")) for table in identities)
    user, item = (generator.standard_normal((size, dim), dtype=np.float32) for size in (n_users, n_items))
    seen = pl.DataFrame(
        {
            "user": np.repeat(np.arange(n_users), MET),
            "item": heavy_tailed(generator, n_items, MET * n_users),
            "split": pl.repeat("train", MET * n_users, eager=True),
        }
    )
    return Recommender(users, items, user, item, seen.unique(["user", "item"], maintain_order=True))


def recommend(n_users: int, n_items: int, dim: int, k: int, asked: int, seed: int) -> Figures:
    """Ask :class:`Recommender` for lists of all users, ``asked`` of them at a time, and let the lists go."""
    recommender = make_recommender(n_users, n_items, dim, seed)
    reset_peak_memory()
    before, started, rows = peak_memory_mb(), time.perf_counter(), 0
    for start in range(0, n_users, asked):
        ids = [str(number) for number in range(start, min(start + asked, n_users))]
        rows += len(recommender.recommend(ids, k=k))
    return _figures(n_users, n_items, dim, k, rows, before, started)


def rank(n_users: int, n_items: int, dim: int, k: int, asked: int, seed: int) -> Figures:
    """Rank blocks of scores with :func:`rank_items`, as the evaluator does; ``asked`` users at a time."""
    generator = torch.Generator().manual_seed(seed)
    user = torch.randn(n_users, dim, generator=generator)
    item = torch.randn(n_items, dim, generator=generator)
    met = torch.randint(n_items, (n_users, MET), generator=generator)
    reset_peak_memory()
    before, started, rows = peak_memory_mb(), time.perf_counter(), 0
    for start in range(0, n_users, asked):
        part = slice(start, start + asked)
        scores = user[part] @ item.T
        scores.scatter_(1, met[part], -torch.inf)
        items, _ = rank_items(scores, k)
        rows += items.numel()
    return _figures(n_users, n_items, dim, k, rows, before, started)


def _figures(
    n_users: int, n_items: int, dim: int, k: int, rows: int, before: float, started: float
) -> Figures:
    seconds = time.perf_counter() - started
    return {
        "users": n_users,
        "items": n_items,
        "dim": dim,
        "k": k,
        "rows": rows,
        "seconds": seconds,
        "users_per_second": n_users / seconds,
        "memory_before_mb": before,
        "peak_memory_mb": peak_memory_mb(),
    }


PATHS = {"recommend": recommend, "rank": rank}


def main() -> None:
    """Measure, print the table, write JSON and, for several sizes, a plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--users", type=count, nargs="+", default=[2_000, 4_000, 8_000])
    parser.add_argument("--items", type=count, default=20_000)
    parser.add_argument("--dim", type=count, default=64)
    parser.add_argument("-k", type=count, default=20)
    parser.add_argument("--paths", choices=PATHS, nargs="+", default=list(PATHS))
    parser.add_argument("--block-mb", type=count, default=64, help="scores of one block of 'rank', in MB")
    parser.add_argument(
        "--asked", type=count, default=10_000, help="users that 'recommend' is asked for at once"
    )
    add_common_options(parser)
    options = parser.parse_args()
    measured: dict[str, list[Figures]] = {}
    for path in options.paths:
        block = max(1, options.block_mb * 2**18 // options.items)
        for users in options.users:
            tell(f"{path}: {users:,} users by {options.items:,} items")
            arguments: dict[str, Any] = {
                "n_users": users,
                "n_items": options.items,
                "dim": options.dim,
                "k": options.k,
                "asked": options.asked if path == "recommend" else block,
                "seed": options.seed,
            }
            measured.setdefault(path, []).append(measure_fresh(PATHS[path], arguments, options.threads))
    columns = ["users", "items", "seconds", "users_per_second", "memory_before_mb", "peak_memory_mb"]
    print_table(
        f"Top {options.k} of all items, {options.dim} dimensions",
        ["path", "users", "items", "seconds", "users a second", "before, MB", "peak, MB"],
        [[path, *(row[column] for column in columns)] for path, rows in measured.items() for row in rows],
    )
    lines = {
        key: {path: [row[key] for row in rows] for path, rows in measured.items()}
        for key in ("seconds", "peak_memory_mb")
    }
    exponents = {
        key: {path: fitted_exponent(options.users, values) for path, values in each.items()}
        for key, each in lines.items()
    }
    if len(options.users) > 1:
        panels = {"seconds": lines["seconds"], "MB": lines["peak_memory_mb"]}
        title = f"Top {options.k} of {options.items:,} items"
        plot_scaling(RESULTS / "topk.png", title, "users", options.users, panels)
    write_results("topk", {"measured": measured, "exponents": exponents}, options.json, options.threads)


if __name__ == "__main__":
    main()
