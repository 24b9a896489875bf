"""The command ``kdiffe``: one file a command, imported when it is used."""

from __future__ import annotations

import os

import click

from kdiffe_dgl import __version__
from kg_builders.cli.shell import LazyGroup

__all__ = ["main"]

# Read by OpenMP when torch loads it. Without it, threads that wait spin, and training beside another
# busy process takes several times as long. To sleep at once is dear as well: an epoch is thousands of short
# operations, so they spin for some microseconds first (GNU's OpenMP, which torch brings). The user's own
# settings stay.
if os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE").upper() == "PASSIVE":
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Command -> module:attribute, and its line in the list of commands. The line stands here so that the
# list needs no import: torch and DGL take seconds.
_COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("kdiffe_dgl.cli.quickstart:quickstart", "From nothing to recommendations on MovieLens."),
    "data": ("kdiffe_dgl.cli.data:data", "Fetch, import, split, make and describe data sets."),
    "kg": ("kg_builders.cli:main", "Build, prune and explain knowledge graphs; the same as kg-build."),
    "train": ("kdiffe_dgl.cli.train:train", "Train a model on a data set."),
    "evaluate": ("kdiffe_dgl.cli.evaluate:evaluate", "Measure a trained model on a split."),
    "recommend": ("kdiffe_dgl.cli.recommend:recommend", "Recommend items with a trained model."),
    "explain": ("kdiffe_dgl.cli.explain:explain", "Show why an item was recommended."),
    "inspect": ("kdiffe_dgl.cli.inspect:inspect", "Show what diffusion did, and what a model attends to."),
    "compare": ("kdiffe_dgl.cli.compare:compare", "Compare models over data sets and seeds."),
    "ablate": ("kdiffe_dgl.cli.ablate:ablate", "Leave out one part of KDiffE at a time; vary settings."),
    "robustness": ("kdiffe_dgl.cli.robustness:robustness", "Add noise: what it costs, what is thrown out."),
    "tune": ("kdiffe_dgl.cli.tune:tune", "Search the settings of a model on validation."),
    "report": ("kdiffe_dgl.cli.report:report", "Write the HTML report of a run."),
}


@click.group(
    name="kdiffe", cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="kdiffe")
def main() -> None:
    """Knowledge-aware, diffusion-enhanced multimedia recommendation."""
