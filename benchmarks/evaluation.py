"""Time of one full-ranking evaluation, by size of the data.

Run ``python benchmarks/evaluation.py``; ``--json FILE`` also writes the figures. The first size is that
of the published TikTok data: 6,130 test users, 6,710 items, 128 dimensions.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.evaluation import Evaluator, dot_product

SIZES = {"tiktok": (9308, 6710, 128, 6130), "10k x 20k": (10_000, 20_000, 64, 10_000)}


def synthetic(n_users: int, n_items: int, n_test: int, generator: np.random.Generator) -> RecDataset:
    """Make random interactions: six training items a user, and one test item for some users."""
    user = np.concatenate([np.repeat(np.arange(n_users), 6), np.arange(n_test)])
    item = generator.integers(0, n_items, len(user))
    split = np.repeat(["train", "test"], [6 * n_users, n_test])
    pairs = pl.DataFrame({"user": user, "item": item, "split": split})
    identity = {
        side: pl.DataFrame({side: range(n)}).with_columns(
            id=pl.col(side).cast(pl.Utf8), label=pl.col(side).cast(pl.Utf8)
        )
        for side, n in (("user", n_users), ("item", n_items))
    }
    return RecDataset(
        name="synthetic",
        users=identity["user"],
        items=identity["item"],
        interactions=pairs.unique(["user", "item"], keep="last", maintain_order=True),
    )


def measure(name: str, repeats: int, seed: int) -> dict[str, object]:
    """Evaluate random representations and return the fastest time in seconds."""
    n_users, n_items, dim, n_test = SIZES[name]
    evaluator = Evaluator(synthetic(n_users, n_items, n_test, np.random.default_rng(seed)), "test")
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(n_users, dim, generator=generator)
    items = torch.randn(n_items, dim, generator=generator)
    results: dict[str, object] = {"size": name, "users": n_test, "items": n_items, "dim": dim}
    # All scores equal is the worst case for breaking ties.
    for label, table in (("seconds", items), ("seconds, all tied", torch.zeros_like(items))):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            evaluator.evaluate(dot_product(users, table))
            times.append(time.perf_counter() - start)
        results[label] = round(min(times), 3)
    return results


def main() -> None:
    """Print the table and, if asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(name, options.repeats, options.seed) for name in SIZES]
    table = Table(title=f"Full-ranking evaluation, {torch.get_num_threads()} threads")
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
