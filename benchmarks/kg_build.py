"""Time and memory from a raw catalogue to a resolved, pruned knowledge graph on disk, for several sizes.

Run ``python benchmarks/kg_build.py --sizes 250000 500000 1000000 2000000``. A catalogue in the layout of
Amazon's 2023 metadata is generated for each size (about 1 KB a record) and built in a fresh process. Prints a
table of seconds by phase, peak memory and the exponent of growth, and writes the figures as JSON.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import (
    RESULTS,
    Figures,
    add_common_options,
    count,
    fitted_exponent,
    measure_fresh,
    plot_scaling,
    print_table,
    write_results,
)

RECIPE: dict[str, Any] = {
    "rules": "amazon",
    "resolve": {"kinds": ["brand"]},
    "prune": {"min_degree": 2, "max_share": 0.3},
}


class PhaseClock:
    """Notes when the phases of a build begin.

    Attributes
    ----------
    seconds
        Phase to seconds; a phase ends where the next begins.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._phase, self._since = "", time.perf_counter()

    def phase(self, name: str) -> None:
        """Begin a phase."""
        now = time.perf_counter()
        if self._phase:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = name, now

    def read(self, done: int, size: int | None, records: int) -> None:
        """Do nothing."""


def build(catalogue: str, engine: str) -> Figures:
    """Build the graph of a catalogue in this process, write it, and return what it took."""
    from kg_builders import build_graph, write_knowledge_graph  # noqa: PLC0415
    from kg_builders.engines import open_engine  # noqa: PLC0415

    clock = PhaseClock()
    recipe = {"source": {"kind": "amazon", "path": catalogue}, **RECIPE}
    started = time.perf_counter()
    kg, report = build_graph(recipe, engine=open_engine(engine), progress=clock)
    clock.phase("writing")
    with tempfile.TemporaryDirectory() as folder:
        write_knowledge_graph(kg, Path(folder) / "kg")
    clock.phase("")
    rules = report.extraction.rules if report.extraction else ()
    return {
        "phase_seconds": clock.seconds,
        "seconds": time.perf_counter() - started,
        "extracted_triples": sum(rule.triples for rule in rules),
        "items": kg.n_items,
        "entities": kg.n_entities,
        "triples": kg.n_triples,
    }


def measure(records: int, options: argparse.Namespace, folder: Path) -> Figures:
    """Write a catalogue of so many records and build it in a process of its own."""
    path = options.records or folder / f"meta-{records}.jsonl"
    if options.records is None:
        script = Path(__file__).parent / "catalogue.py"
        arguments = [str(path), "--records", str(records), "--seed", str(options.seed)]
        subprocess.run([sys.executable, str(script), *arguments], check=True, stdout=subprocess.DEVNULL)
    figures = measure_fresh(build, {"catalogue": str(path), "engine": options.engine}, options.threads)
    figures = {"megabytes": path.stat().st_size / 1e6, **figures}
    if options.records is None:
        path.unlink()
    return figures


def show(results: dict[int, Figures], growth: float | None) -> None:
    """Print a column a size."""
    phases = next(iter(results.values()))["phase_seconds"]
    rows: list[list[Any] | None] = [
        [phase, *(each["phase_seconds"].get(phase, 0.0) for each in results.values())] for phase in phases
    ]
    rows.append(None)
    for key, label in (
        ("seconds", "whole build"), ("cpu_seconds", "processor time"), ("peak_memory_mb", "peak memory, MB"),
        ("megabytes", "catalogue, MB"), ("items", "items"), ("entities", "entities"), ("triples", "triples"),
    ):  # fmt: skip
        rows.append([label, *(each[key] for each in results.values())])
    title = "From a raw catalogue to a knowledge graph: seconds"
    print_table(title, ["phase", *(f"{size:,} records" for size in results)], rows)
    if growth is not None:
        print(f"time grows with n^{growth:.2f}")


def main() -> None:
    """Measure, print the table, write the figures and, for several sizes, a plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--sizes", type=count, nargs="+", default=[250_000, 500_000, 1_000_000, 2_000_000])
    parser.add_argument("--records", type=Path, help="a file of one's own in place of generated ones")
    parser.add_argument("--engine", default="polars", choices=["polars", "duckdb", "spark"])
    parser.add_argument("--folder", type=Path, help="where to put the catalogues  [default: temporary]")
    add_common_options(parser)
    parser.set_defaults(threads=2)
    options = parser.parse_args()
    sizes = options.sizes
    if options.records is not None:
        with options.records.open("rb") as lines:
            sizes = [sum(1 for _ in lines)]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = {size: measure(size, options, Path(folder)) for size in sizes}
    lines_of = {
        key: [results[size][key] for size in sizes] for key in ("seconds", "cpu_seconds", "peak_memory_mb")
    }
    growth = fitted_exponent(sizes, lines_of["seconds"])
    show(results, growth)
    if len(sizes) > 1:
        panels = {
            "seconds": {"whole build": lines_of["seconds"], "processor time": lines_of["cpu_seconds"]},
            "MB": {"peak memory": lines_of["peak_memory_mb"]},
        }
        plot_scaling(RESULTS / "kg_build.png", "From a catalogue to a graph", "records", sizes, panels)
    figures = {
        "recipe": RECIPE,
        "engine": options.engine,
        "exponent": growth,
        "cpu_exponent": fitted_exponent(sizes, lines_of["cpu_seconds"]),
        "sizes": results,
    }
    write_results("kg_build", figures, options.json, options.threads)


if __name__ == "__main__":
    main()
