"""Does a knowledge graph help? One model on data sets that differ in their graph alone, over several seeds.

Run ``python benchmarks/arms.py --arm built=data/lfm2k-built --arm none=data/lfm2k-bare --preset lfm2k``. The
first arm is compared with each other one, user by user, after the values of a user are averaged over the
seeds. The epoch is chosen on validation and the test split is read once for each run. Finished runs in
``--runs`` are used again, so an interrupted benchmark goes on. With ``--shuffled NAME=DATASET``, an arm has
the graph of a data set with its items shuffled: as many facts, alike in shape, and none of them true. What a
graph gains over it, it gains by what it says. Prints two tables and writes JSON.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import Figures, print_table, write_results
from trained import measure

from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.evaluation.significance import PairedComparison, averaged, compare, over_seeds
from kdiffe_dgl.experiments.changes import ShuffledItems
from kdiffe_dgl.experiments.jobs import Source
from kdiffe_dgl.training.config import preset, resolve

METRICS = ("recall@20", "ndcg@20")
with_shuffled_items = ShuffledItems()


def compare_arms(arms: dict[str, list[Evaluation]]) -> dict[str, list[PairedComparison]]:
    """Compare the first arm with each other one."""
    first, *others = arms
    rng = np.random.default_rng(0)
    return {
        other: [compare(averaged(arms[first]), averaged(arms[other]), metric, rng=rng) for metric in METRICS]
        for other in others
    }


def show(arms: dict[str, list[Evaluation]], comparisons: dict[str, list[PairedComparison]]) -> None:
    """Print the figures of each arm and the differences."""
    rows = []
    for name, evaluations in arms.items():
        summary = over_seeds([each.metrics for each in evaluations])
        rows.append([name, *(str(summary[metric]) for metric in METRICS)])
    print_table("Test figures, mean ± standard deviation over seeds", ["arm", *METRICS], rows)
    paired = [
        [
            other, each.metric, f"{each.difference:+.4f}",
            f"{each.interval[0]:+.4f} to {each.interval[1]:+.4f}",
            f"{each.p_t:.2g}", f"{each.p_wilcoxon:.2g}",
        ]
        for other, found in comparisons.items() for each in found
    ]  # fmt: skip
    print_table(
        f"{next(iter(arms))} minus the other, user by user, averaged over seeds",
        ["against", "metric", "difference", "95 % interval", "p (t)", "p (Wilcoxon)"],
        paired,
    )


def main() -> None:
    """Train what is missing, compare, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--arm", action="append", required=True, metavar="NAME=DATASET", help="Repeatable.")
    parser.add_argument(
        "--shuffled", action="append", default=[], metavar="NAME=DATASET",
        help="An arm whose graph has its items shuffled. Repeatable.",
    )  # fmt: skip
    parser.add_argument("--preset", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, help="folder of the runs  [default: runs/arms-PRESET]")
    parser.add_argument("--json", type=Path, help="file for the figures  [default: in benchmarks/results]")
    options = parser.parse_args()
    config = resolve(preset(options.preset), options.set)
    # By default apart for each preset: arms of other data sets may have the same names.
    runs = options.runs or Path("runs") / f"arms-{options.preset}"
    arms: dict[str, list[Evaluation]] = {}
    for given in [*options.arm, *options.shuffled]:
        name, _, folder = given.partition("=")
        source = Source(Path(folder), with_shuffled_items if given in options.shuffled else None)
        folders = [runs / f"{name}-{seed}" for seed in range(options.seeds)]
        arms[name] = [evaluation for _, evaluation in measure(source, folders, config)]
    comparisons = compare_arms(arms)
    show(arms, comparisons)
    facts: Figures = {
        "preset": options.preset,
        "set": options.set,
        "arms": {name: [each.metrics for each in found] for name, found in arms.items()},
        "comparisons": {other: [vars(each) for each in found] for other, found in comparisons.items()},
    }
    write_results(f"arms-{options.preset}", facts, options.json, None)


if __name__ == "__main__":
    main()
