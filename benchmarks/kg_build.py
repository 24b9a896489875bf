"""Time and memory from a raw catalogue to a resolved, pruned knowledge graph on disk, for several sizes.

Run ``python benchmarks/kg_build.py --sizes 250000 500000 1000000 2000000``. A catalogue in the layout of
Amazon's 2023 metadata is generated for each size (about 1 KB a record) and built in a fresh process. Prints a
table of seconds by phase, peak memory and the exponent of growth, and writes the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "kg_build.json"
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


def build(catalogue: Path, engine: str) -> dict[str, Any]:
    """Build the graph of a catalogue in this process, write it, and return what it took."""
    from kg_builders import build_graph, write_knowledge_graph  # noqa: PLC0415
    from kg_builders.engines import open_engine  # noqa: PLC0415

    clock = PhaseClock()
    recipe = {"source": {"kind": "amazon", "path": str(catalogue)}, **RECIPE}
    started = time.perf_counter()
    kg, report = build_graph(recipe, engine=open_engine(engine), progress=clock)
    clock.phase("writing")
    with tempfile.TemporaryDirectory() as folder:
        write_knowledge_graph(kg, Path(folder) / "kg")
    clock.phase("")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "phase_seconds": clock.seconds,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        "extracted_triples": sum(rule.triples for rule in report.extraction.rules)
        if report.extraction
        else 0,
        "items": kg.n_items,
        "entities": kg.n_entities,
        "triples": kg.n_triples,
    }


def measure(records: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write a catalogue of so many records and build it in a process of its own."""
    path = options.records or folder / f"meta-{records}.jsonl"
    if options.records is None:
        script = Path(__file__).parent / "catalogue.py"
        arguments = [str(path), "--records", str(records), "--seed", str(options.seed)]
        subprocess.run([sys.executable, str(script), *arguments], check=True, stdout=subprocess.DEVNULL)
    environment = {**os.environ, "POLARS_MAX_THREADS": str(options.threads)}
    command = [sys.executable, __file__, "--build", str(path), "--engine", options.engine]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout)
    figures = {"megabytes": path.stat().st_size / 1e6, **figures}
    if options.records is None:
        path.unlink()
    return figures


def exponent(sizes: list[int], seconds: list[float]) -> float | None:
    """Return the slope of log seconds over log records, by least squares."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def show(results: dict[int, dict[str, Any]], growth: float | None) -> None:
    """Print a column a size."""
    table = Table("phase", title="From a raw catalogue to a knowledge graph: seconds")
    for size in results:
        table.add_column(f"{size:,} records", justify="right")
    first = next(iter(results.values()))
    for phase in first["phase_seconds"]:
        table.add_row(phase, *(f"{each['phase_seconds'].get(phase, 0.0):.1f}" for each in results.values()))
    table.add_section()
    for key, label, form in (
        ("seconds", "whole build", "{:.1f}"), ("cpu_seconds", "processor time", "{:.1f}"),
        ("peak_memory_mb", "peak memory, MB", "{:,.0f}"), ("megabytes", "catalogue, MB", "{:,.0f}"),
        ("items", "items", "{:,}"), ("entities", "entities", "{:,}"), ("triples", "triples", "{:,}"),
    ):  # fmt: skip
        table.add_row(label, *(form.format(each[key]) for each in results.values()))
    Console().print(table)
    if growth is not None:
        print(f"time grows with n^{growth:.2f}")


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250_000, 500_000, 1_000_000, 2_000_000])
    parser.add_argument("--records", type=Path, help="a file of one's own in place of generated ones")
    parser.add_argument("--engine", default="polars", choices=["polars", "duckdb", "spark"])
    parser.add_argument("--threads", type=int, default=2, help="threads of the table engine")
    parser.add_argument("--folder", type=Path, help="where to put the catalogues  [default: temporary]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS, help="file for the figures")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build is not None:
        print(json.dumps(build(options.build, options.engine)))
        return
    sizes = options.sizes
    if options.records is not None:
        with options.records.open("rb") as lines:
            sizes = [sum(1 for _ in lines)]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = {size: measure(size, options, Path(folder)) for size in sizes}
    growth = exponent(sizes, [results[size]["seconds"] for size in sizes])
    show(results, growth)
    figures = {
        "recipe": RECIPE,
        "engine": options.engine,
        "threads": options.threads,
        "machine": platform.machine(),
        "exponent": growth,
        "cpu_exponent": exponent(sizes, [results[size]["cpu_seconds"] for size in sizes]),
        "sizes": results,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"figures in {options.json}")


if __name__ == "__main__":
    main()
