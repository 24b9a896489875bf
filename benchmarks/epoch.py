"""Time of one training epoch by phase, and peak memory, on a data set folder or on random data.

Run ``python benchmarks/epoch.py --data data/mine --preset default``, or without ``--data`` for random data
of the size of the published TikTok set. Prints a table and writes the figures as JSON.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields

from common import add_common_options, count, measure_fresh, print_table, write_results
from random_data import Sizes
from toolkit_epoch import toolkit_epochs


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--preset``, ``--set`` and the sizes of random data."""
    parser.add_argument("--data", help="data set folder  [default: random data]")
    parser.add_argument("--preset", help="settings  [default: default]")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    for field in fields(Sizes):
        parser.add_argument(
            f"--{field.name}",
            type=int,
            default=field.default,
            help=f"random data  [default: {field.default}]",
        )


def sizes_of(options: argparse.Namespace) -> dict[str, int]:
    """Return the sizes of random data that were asked for."""
    return asdict(Sizes(**{field.name: getattr(options, field.name) for field in fields(Sizes)}))


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument("--epochs", type=count, default=3, help="the fastest of each phase is shown")
    parser.add_argument("--device", default="cpu")
    add_common_options(parser)
    options = parser.parse_args()
    arguments = {
        "data": options.data,
        "sizes": sizes_of(options),
        "preset_name": options.preset,
        "overrides": options.overrides,
        "epochs": options.epochs,
        "seed": options.seed,
        "device": options.device,
    }
    figures = measure_fresh(toolkit_epochs, arguments, options.threads)
    timed = [record["phases"] for record in figures["epochs"]]
    figures["phase_seconds"] = {phase: min(epoch[phase] for epoch in timed) for phase in timed[0]}
    print_table(
        f"{figures['model']} on {figures['dataset']}, preset {figures['preset']}: fastest of "
        f"{options.epochs} epochs, {options.device}",
        ["phase", "seconds"],
        [
            ["model and attention-aware matrix (once)", figures["build_seconds"]],
            None,
            *([phase, seconds] for phase, seconds in figures["phase_seconds"].items()),
            None,
            ["peak memory, MB", figures["peak_memory_mb"]],
            ["before the model, MB", figures["peak_memory_before_model_mb"]],
        ],
    )
    write_results("epoch", figures, options.json, options.threads)


if __name__ == "__main__":
    main()
