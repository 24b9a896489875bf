"""The benchmarks are scripts beside each other; their tests import them as they import one another."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path[:0] = [str(BENCHMARKS), str(Path(__file__).parent)]
