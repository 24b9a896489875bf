"""Do the peers reach the figures that are known of them? Trains each on a data set, prints both side by side.

Run ``python benchmarks/peers.py --data data/lfm2k --model popularity --known popularity=0.1225,0.0754``, or
``python benchmarks/peers.py --data data/lfm2k --peers benchmarks/known/lfm2k.yaml`` with a file such as ::

    ease:
      known: {recall@20: 0.3955, ndcg@20: 0.2711}
      set: [model.regularisation=100]

The epoch is chosen on validation and the test split is read once for each run, with training items masked
unless ``--set`` says otherwise. Finished runs in ``--runs`` are used again, so an interrupted benchmark goes
on. Prints a table and writes JSON. A mean over seeds below the known figure by more than two standard
errors (of the mean over users, since the known one was measured on the same users) is marked with ``<``.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from common import Figures, print_table, write_results
from pydantic import Field
from trained import measure

from kdiffe_dgl.config import Component, parse_config, read_yaml
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.experiments.jobs import Source
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve

METRICS = ("recall@20", "ndcg@20")


class Peer(Component):
    """Settings and known figures of a peer."""

    set: tuple[str, ...] = ()
    """Settings of the form ``model.dim=64``."""
    known: dict[Literal["recall@20", "ndcg@20"], Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict
    )
    """Metric to known figure on the test split."""


def read_peers(path: Path) -> dict[str, Peer]:
    """Read name and peer from a YAML file.

    Raises
    ------
    InputError
        If an entry is anything else.
    """
    return {
        str(name): parse_config(Peer, entry or {}, f"{path}, {name}")
        for name, entry in read_yaml(path).items()
    }


def known_figures(text: str) -> tuple[str, Peer]:
    """Read ``NAME=RECALL,NDCG`` for argparse."""
    if not re.fullmatch(r"[^=]+=\d*\.?\d+,\d*\.?\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=RECALL,NDCG")
    name, _, values = text.partition("=")
    known = dict(zip(METRICS, map(float, values.split(",")), strict=True))
    return name, parse_config(Peer, {"known": known}, f"--known {text}")


def summarise(peer: Peer, runs: list[tuple[RunFolder, Evaluation]]) -> Figures:
    """Return the means over seeds, their standard errors over users, and the known figures."""
    figures: Figures = {
        "settings": list(peer.set),
        "seeds": len(runs),
        "best_epochs": [run.metrics()["best_epoch"] for run, _ in runs],
        "seconds": sum(float(epoch["seconds"]) for run, _ in runs for epoch in run.history()),
    }
    for metric in METRICS:
        values = np.mean([found.per_user[metric] for _, found in runs], axis=0)
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        known = dict(peer.known).get(metric)
        figures[metric] = {
            "validation": float(np.mean([run.metrics()["validation"][metric] for run, _ in runs])),
            "test": float(values.mean()),
            "standard_error": error,
            "known": known,
            "below": known is not None and bool(values.mean() < known - 2 * error),
        }
    return figures


def show(found: dict[str, Figures]) -> None:
    """Print the figures beside the known ones."""
    rows = []
    for name, figures in found.items():
        cells: list[str | None] = [name, f"{figures['recall@20']['validation']:.4f}"]
        for metric in METRICS:
            each = figures[metric]
            known = "–" if each["known"] is None else f"{each['known']:.4f}"
            mark = " <" if each["below"] else ""
            cells += [f"{each['test']:.4f} ± {each['standard_error']:.4f}{mark}", known]
        rows.append([*cells, f"{figures['seconds']:.0f}"])
    print_table(
        "Test figures, mean ± standard error over users",
        ["peer", "validation R@20", "R@20", "known", "N@20", "known", "seconds"],
        rows,
    )


def main() -> None:
    """Train what is missing, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Data set folder.")
    parser.add_argument("--peers", type=Path, help="YAML file: settings and known figures of each peer.")
    parser.add_argument("--model", action="append", default=[], help="Repeatable; of the file, only these.")
    parser.add_argument("--known", action="append", default=[], type=known_figures, metavar="NAME=R,N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="For all peers.")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/peers"))
    parser.add_argument("--json", type=Path, help="file for the figures  [default: in benchmarks/results]")
    options = parser.parse_args()
    peers = read_peers(options.peers) if options.peers else {}
    peers = {name: peers.get(name, Peer()) for name in options.model or peers}
    for name, peer in options.known:
        if name not in peers:
            parser.error(f"--known {name}: no such peer is trained; expected one of {', '.join(peers)}")
        peers[name] = peers[name].model_copy(update={"known": peer.known})
    if not peers:
        parser.error("no peer to train; expected --model or --peers")
    dataset = RecDataset.load(options.data)
    # Mistakes in the settings of any peer are told before the first is trained.
    configs = {name: resolve({}, (*options.set, *peer.set), name, name) for name, peer in peers.items()}
    found: dict[str, Figures] = {}
    for name, peer in peers.items():
        folders = [options.runs / f"{dataset.name}-{name}-{seed}" for seed in range(options.seeds)]
        found[name] = summarise(peer, measure(Source(options.data), folders, configs[name]))
    show(found)
    facts: Figures = {"dataset": dataset.name, "set": options.set, "peers": found}
    write_results(f"peers-{dataset.name}", facts, options.json, None)


if __name__ == "__main__":
    main()
