"""What every benchmark needs: fresh processes, peak memory, tables, JSON, plots, facts of the machine.

A measurement that states a peak of memory runs in a process of its own, see :func:`measure_fresh`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

__all__ = [
    "RESULTS",
    "Figures",
    "Stopwatch",
    "add_common_options",
    "count",
    "fitted_exponent",
    "machine_facts",
    "measure_fresh",
    "peak_memory_mb",
    "plot_scaling",
    "print_table",
    "reset_peak_memory",
    "tell",
    "write_results",
]

RESULTS = Path(__file__).parent / "results"
"""Folder of the figures; git ignores it."""

Figures = dict[str, Any]


# --- memory and time -----------------------------------------------------------------------------


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (2^20 bytes).

    On Linux from ``VmHWM``: unlike ``ru_maxrss``, it starts anew where a program is executed, so a large
    parent doesn't count as part of its child.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def reset_peak_memory() -> bool:
    """Let :func:`peak_memory_mb` start again from what is resident now; returns whether the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


class Stopwatch:
    """Seconds of named phases.

    Attributes
    ----------
    seconds
        Phase -> seconds so far.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


# --- a process of its own ------------------------------------------------------------------------


def measure_fresh(
    function: Callable[..., Figures], arguments: Mapping[str, Any], threads: int | None = None
) -> Figures:
    """Call a function in a fresh Python process.

    Parameters
    ----------
    function
        Top-level function of a script. It returns what JSON can hold.
    arguments
        Keyword arguments of it, of types that JSON knows.
    threads
        Threads of torch, OpenMP and Polars; null: as they choose.

    Returns
    -------
    dict
        What the function returned, with ``peak_memory_mb`` of its process, and ``cpu_seconds``.

    Raises
    ------
    SystemExit
        If the process failed; its own message is on standard error.
    """
    script = Path(sys.modules[function.__module__].__file__ or "").resolve()
    environment = dict(os.environ)
    # As the commands set them.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "10000")
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
            environment[name] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "figures.json"
        command = [sys.executable, __file__, str(script), function.__name__, str(answer)]
        done = subprocess.run(
            command, check=False, input=json.dumps(dict(arguments)), text=True, env=environment
        )
        if done.returncode or not answer.is_file():
            raise SystemExit(
                f"{script.name}: {function.__name__} ended with status {done.returncode} "
                f"for {dict(arguments)}"
            )
        figures: Figures = json.loads(answer.read_text(encoding="utf-8"))
    return figures


def _answer(script: Path, name: str, answer: Path) -> None:
    """Run one function of a script with the arguments on standard input, and write what it returns."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    # Scripts import their neighbours, as they do when they are run themselves.
    sys.path.insert(0, str(script.parent))
    spec.loader.exec_module(module)
    figures = dict(getattr(module, name)(**json.load(sys.stdin)))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures.setdefault("peak_memory_mb", peak_memory_mb())
    figures["cpu_seconds"] = usage.ru_utime + usage.ru_stime
    answer.write_text(json.dumps(figures), encoding="utf-8")


# --- what is printed and written -----------------------------------------------------------------


def tell(text: str) -> None:
    """Say on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any] | None]) -> None:
    """Print a table: the first column to the left, the others to the right.

    Parameters
    ----------
    title, columns
        Headings.
    rows
        Cells; a number with a fraction gets three digits that count, and null, in place of a row, a line.
    """
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(_cell(value) for value in row))
    Console(width=max(Console().width, 100)).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def machine_facts(threads: int | None = None) -> Figures:
    """Return what a reader needs to judge a time: processor, cores, memory, load, versions."""
    model = platform.processor() or platform.machine()
    description = Path("/proc/cpuinfo")
    if description.is_file():
        lines = description.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    versions: dict[str, str | None] = {}
    for package in ("torch", "dgl", "numpy", "scipy", "polars"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads or os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "load_average": list(os.getloadavg()),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def write_results(name: str, figures: Mapping[str, Any], path: Path | None, threads: int | None) -> None:
    """Write figures with the facts of the machine as JSON, by default to ``results/NAME.json``."""
    file = path or RESULTS / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine_facts(threads), **figures}
    file.write_text(json.dumps(facts, indent=2, default=float) + "\n", encoding="utf-8")
    print(f"figures in {file}")


# --- scaling -------------------------------------------------------------------------------------


def fitted_exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the slope of log value over log size by least squares; null where it has none."""
    if len(set(sizes)) < 2 or min(values) <= 0:
        return None
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def plot_scaling(
    path: Path,
    title: str,
    what: str,
    sizes: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
) -> None:
    """Draw values over sizes, both on logarithmic axes, with the fitted exponent of each line.

    Parameters
    ----------
    path
        PNG file.
    title, what
        Heading, and label of the sizes.
    sizes
        Sizes, shared by all lines.
    panels
        Label of the values -> name of a line -> its values.
    """
    import matplotlib as mpl  # noqa: PLC0415  (not needed in the measuring processes)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.2), squeeze=False)
    for axis, (label, lines) in zip(axes[0], panels.items(), strict=True):
        for name, values in lines.items():
            if min(values, default=0) <= 0:
                continue
            slope = fitted_exponent(sizes, values)
            growth = "" if slope is None else rf" $\propto n^{{{slope:.2f}}}$"
            axis.plot(sizes, values, "o-", label=name + growth)
        axis.set(xscale="log", yscale="log", xlabel=what, ylabel=label)
        axis.grid(True, which="both", alpha=0.3)
        if axis.lines:
            axis.legend()
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"plot in {path}")


# --- options -------------------------------------------------------------------------------------


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument("--threads", type=count, help="threads  [default: as the libraries choose]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures  [default: in benchmarks/results]")


def count(text: str) -> int:
    """Read a number of at least 1 for argparse; ``1e6`` is allowed."""
    try:
        value = int(float(text))
    except ValueError:
        value = 0
    if value < 1 or value != float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return value


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
