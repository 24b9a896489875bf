"""What noise costs, and how much of it regeneration throws out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.decoys import Ends
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.significance import SeedSummary, over_seeds
from kdiffe_dgl.experiments.ablation import write_study
from kdiffe_dgl.experiments.changes import NOISE, RandomInteractions, RandomTriples
from kdiffe_dgl.experiments.jobs import Job
from kdiffe_dgl.experiments.summaries import dataset_tables
from kdiffe_dgl.experiments.tables import Cell, ResultTable
from kdiffe_dgl.experiments.variants import Setup, StudyResult, Variant, measure_jobs
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.run_folder import RunFolder, installed_versions
from kdiffe_dgl.training.restore import restore_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LEVELS", "Robustness", "area_under_curve", "robustness", "sorted_out"]

CLEAN = Variant("no noise")
LEVELS = (0.1, 0.25, 0.5, 1.0)
_ADDED, _PLANTED = "added", "planted"


def area_under_curve(good: np.ndarray, score: np.ndarray) -> float:
    """Return the probability that a good one has a greater score than a bad one, ties counted half.

    Parameters
    ----------
    good
        bool ``[n]``.
    score
        ``[n]``.

    Returns
    -------
    float
        NaN where there are not both.
    """
    n_good = int(good.sum())
    if n_good in (0, len(good)):
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    # The mean rank of equal scores (Mann and Whitney 1947).
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[good].sum() - n_good * (n_good + 1) / 2) / (n_good * (len(good) - n_good)))


def sorted_out(
    run: RunFolder, dataset: RecDataset, truths: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Tell how well the regeneration of a finished run told good triples from bad ones.

    Parameters
    ----------
    run
        The run.
    dataset
        Its data.
    truths
        What may be meant by good -> which of the stored triples are, bool ``[triples]``.

    Returns
    -------
    dict of str to dict
        By truth: ``gone``: share of bad triples thrown out (the recall of throwing out); ``precision``: share
        of what was thrown out that was bad; ``stay``: share of good triples that stay; ``auc``: of the
        scores. NaN where there is nothing of the kind. Empty where the model regenerates no knowledge graph.
    """
    model = restore_model(run, dataset)
    if not isinstance(model, KDiffE) or model.knowledge_diffusion is None or model.regenerated is None:
        return {}
    diffusion = model.knowledge_diffusion
    with torch.no_grad():
        scores = diffusion.edge_scores(
            diffusion.context(model.user_embedding), torch.Generator().manual_seed(0)
        )
    # An edge for each triple: an inverse has the score of its triple, and stays with it.
    triples, first = np.unique(model.edges.triple.numpy(), return_index=True)
    kept, score = model.regenerated.kept.numpy()[first], scores.numpy()[first]
    return {name: _told_apart(good[triples], kept, score) for name, good in truths.items()}


def _told_apart(good: np.ndarray, kept: np.ndarray, score: np.ndarray) -> dict[str, float]:
    def share(of: np.ndarray, among: np.ndarray) -> float:
        return float(of[among].mean()) if among.any() else float("nan")

    return {
        "gone": share(~kept, ~good),
        "precision": share(~good, ~kept),
        "stay": share(kept, good),
        "auc": area_under_curve(good, score),
    }


@dataclass(frozen=True)
class Robustness:
    """What noise did.

    All runs rank the same items, those that a user has not met in training without noise: an interaction that
    was added pushes others out of the lists where the model has learned it, and is never a hit, since no true
    item of any split is added. (Left out of the lists, as items of training are, the added ones would leave
    fewer wrong items to rank, and recall might rise by noise alone; ``masked`` tells how far.)

    Parameters
    ----------
    study
        Runs without noise, and with each kind and level of it.
    levels
        Kind of noise -> variant -> its level.
    edges
        Variant -> one mapping a run, see :func:`sorted_out`, of added triples against the others.
    planted
        Variant -> the same of planted triples that cause interactions against all others, the added ones
        among these; empty where the data have no such truth.
    masked
        Variant -> metric -> its values where the added interactions are left out of the lists; of variants
        with such alone.
    """

    study: StudyResult
    levels: Mapping[str, Mapping[str, float]]
    edges: Mapping[str, Sequence[Mapping[str, float]]]
    planted: Mapping[str, Sequence[Mapping[str, float]]]
    masked: Mapping[str, Mapping[str, SeedSummary]]

    @property
    def failures(self) -> list[str]:
        """Return a sentence for each run that failed."""
        return self.study.failures

    def tables(self) -> list[ResultTable]:
        """Return figures by noise, what is lost, and what regeneration threw out."""
        name = self.study.result.name
        found = [dataset_tables(self.study.result)[0], self._losses()]
        if self.edges:
            found.append(_sorted_table(f"{name}: added triples after regeneration", self.edges))
        if self.planted:
            title = f"{name}: planted triples that cause interactions, and all others"
            found.append(_sorted_table(title, self.planted))
        return found

    def _losses(self) -> ResultTable:
        result = self.study.result
        clean = result.entries[0].summary()

        def changes(name: str, found: Mapping[str, SeedSummary], marked: bool) -> tuple[Cell, ...]:
            cells = [Cell(name)]
            for metric in result.metrics:
                contrast = result.contrast(metric, name) if marked else None
                if metric not in found or metric not in clean or not clean[metric].mean:
                    cells.append(Cell("–"))
                    continue
                change = found[metric].mean / clean[metric].mean - 1
                cells.append(Cell(f"{change:+.2%}", mark=contrast.mark if contrast else ""))
            return tuple(cells)

        rows = []
        for entry in result.entries[1:]:
            rows.append(changes(entry.name, entry.summary(), True))
            if entry.name in self.masked:
                rows.append(changes(f"{entry.name}, these left out", self.masked[entry.name], False))
        header = ("", *(f"{metric}, change" for metric in result.metrics))
        notes = ["Relative to the model without noise; * p < 0.05, ** p < 0.01, as in the table above."]
        if self.masked:
            notes.append(
                "All rank the same items, the added ones among them. These left out: they are not in the "
                "list of their user, so that fewer wrong items are ranked than without noise."
            )
        return ResultTable(f"{result.name}: what noise costs", header, tuple(rows), tuple(notes), "losses")

    def figures(self) -> dict[str, Figure]:
        """Return the figures, by file name without suffix."""
        # Imported here: who only wants the tables does not wait for matplotlib.
        from kdiffe_dgl.experiments.curves import curves  # noqa: PLC0415

        result = self.study.result
        summaries = {entry.name: entry.summary() for entry in result.entries if entry.runs}
        panels: dict[str, dict[str, Any]] = {metric: {} for metric in result.metrics}
        for kind, levels in self.levels.items():
            at = [(0.0, CLEAN.name), *((level, name) for name, level in levels.items())]
            for metric, lines in panels.items():
                points = [(place, summaries[name][metric]) for place, name in at if name in summaries]
                lines[f"random {kind}"] = _line(points)
        made = {"noise": curves(panels, "noise, as a share of what there is")}
        if self.edges:
            level_of = {name: level for levels in self.levels.values() for name, level in levels.items()}
            lines = {}
            for key, label in (("gone", "added triples gone"), ("stay", "others stay"), ("auc", "AUC")):
                points = [(level_of[name], _mean(runs)[key]) for name, runs in self.edges.items()]
                lines[label] = _line(points)
            made["regeneration"] = curves({"After regeneration": lines}, "added triples, as a share")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as types that JSON knows."""

        def plain(runs: Sequence[Mapping[str, float]]) -> list[dict[str, float | None]]:
            return [
                {key: value if np.isfinite(value) else None for key, value in run.items()} for run in runs
            ]

        return {
            "versions": installed_versions(),
            **self.study.result.to_dict(),
            "levels": {kind: dict(levels) for kind, levels in self.levels.items()},
            "added_triples": {name: plain(runs) for name, runs in self.edges.items()},
            "planted": {name: plain(runs) for name, runs in self.planted.items()},
            "added_interactions_left_out": {
                name: {metric: vars(value) for metric, value in found.items()}
                for name, found in self.masked.items()
            },
        }

    def write(self, folder: Path) -> None:
        """Write results.json, tables.md and figures/ into a folder."""
        write_study(folder, self.tables(), self.figures(), self.to_dict())


def _line(points: Sequence[tuple[float, SeedSummary]]) -> tuple[list[float], list[float], list[float]]:
    return [place for place, _ in points], [one.mean for _, one in points], [one.std for _, one in points]


def _mean(runs: Sequence[Mapping[str, float]]) -> dict[str, SeedSummary]:
    return over_seeds(runs)


def _sorted_table(title: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> ResultTable:
    heading = {
        "gone": "bad ones gone",
        "precision": "bad among those gone",
        "stay": "good ones stay",
        "auc": "AUC of scores",
    }
    body = []
    for name, runs in rows.items():
        summary = _mean(runs)
        cells = [Cell(f"{summary[key].mean:.3f}" if summary[key].mean >= 0 else "–") for key in heading]
        body.append((Cell(name), *cells))
    return ResultTable(title, ("", *heading.values()), tuple(body), ("Mean over seeds.",), "regeneration")


def _truth_file(data: Path) -> Path:
    """Return where the folder of planted data tells which triples cause interactions."""
    return data / "truth" / "triples.parquet"


def _not_added(dataset: RecDataset) -> np.ndarray:
    """Return which stored triples are not random ones."""
    assert dataset.kg is not None
    return (dataset.kg.triples["source"] != NOISE).to_numpy()


def _planted_truth(file: Path, dataset: RecDataset) -> np.ndarray:
    """Return which stored triples cause interactions; none of those that were added was planted."""
    truth = pl.read_parquet(file).select("head_id", "relation", "tail_id", "relevant")
    kg = dataset.kg
    assert kg is not None
    ids, names = kg.entities["id"], kg.relations["name"]
    stored = kg.triples.select(
        head_id=ids.gather(kg.triples["head"]),
        relation=names.gather(kg.triples["relation"]),
        tail_id=ids.gather(kg.triples["tail"]),
    )
    found = stored.join(truth, on=["head_id", "relation", "tail_id"], how="left", maintain_order="left")
    return found["relevant"].fill_null(False).to_numpy()


def robustness(
    setup: Setup,
    *,
    triples: Sequence[float] = LEVELS,
    interactions: Sequence[float] = (),
    ends: Ends = "relation",
) -> Robustness:
    """Train without noise and with each level of it, and see what it costs and what is thrown out.

    Parameters
    ----------
    setup
        Data, settings, seeds (the noise is the same for all), and where results go.
    triples
        Random triples to add, as shares of those that there are, a run each.
    interactions
        Random interactions to add to the training split, as shares.
    ends
        What random triples join: see :func:`kdiffe_dgl.diffusion.decoys.random_triples`.

    Raises
    ------
    InputError
        If there is no noise to add, or the data can't take it.
    """
    if setup.records is not None:
        raise InputError("robustness: reads the graphs of its runs, which records lack; expected none")
    dataset, base = setup.dataset, setup.base
    if not triples and not interactions:
        raise InputError("robustness: no noise is asked for; expected levels of triples or of interactions")
    if triples and (dataset.kg is None or not len(dataset.kg.triples)):
        raise InputError(f"{setup.data}: has no knowledge graph; expected one, or --interactions alone")
    made: dict[str, dict[str, float]] = {}
    variants = [CLEAN]
    for kind, levels in (("triples", triples), ("interactions", interactions)):
        for level in sorted(set(levels)):
            if not 0 < level <= 10:
                raise InputError(f"robustness: a level is {level:g}; expected more than 0 and at most 10")
            change = RandomTriples(level, ends) if kind == "triples" else RandomInteractions(level)
            variant = Variant(f"{kind} +{100 * level:g}%", (), change)
            variants.append(variant)
            made.setdefault(kind, {})[variant.name] = level
    study = setup.run(variants)
    done = {run.folder for entry in study.result.entries for run in entry.runs}
    edges: dict[str, list[dict[str, float]]] = {}
    planted: dict[str, list[dict[str, float]]] = {}
    masked, truth = {}, _truth_file(setup.data)
    for variant in variants:
        found = [job for job in study.jobs[variant.name] if job.folder in done]
        if isinstance(variant.change, RandomInteractions) and found:
            # Measured on the data that they were trained on, whose lists leave all of training out.
            masked[variant.name] = over_seeds([run.test for run, _ in measure_jobs(found, setup.metrics)])
        if base.name != KDiffE.name or dataset.kg is None:
            continue
        for apart, told in _all_sorted_out(found, setup, variant, truth).items():
            (edges if apart == _ADDED else planted)[variant.name] = told
    return Robustness(study, made, edges, planted, masked)


def _all_sorted_out(
    jobs: Sequence[Job], setup: Setup, variant: Variant, truth: Path
) -> dict[str, list[dict[str, float]]]:
    """Tell for each run of a variant how triples were told apart, by what is known of them."""
    added = isinstance(variant.change, RandomTriples)
    if not jobs or not (added or truth.is_file()):
        return {}
    trained_on = setup.trained_on(variant)
    truths = {}
    if added:
        truths[_ADDED] = _not_added(trained_on)
    if truth.is_file():
        truths[_PLANTED] = _planted_truth(truth, trained_on)
    runs = [sorted_out(RunFolder(job.folder), trained_on, truths) for job in jobs]
    # A model that regenerates no graph sorts nothing out.
    return {name: [run[name] for run in runs] for name in truths if all(name in run for run in runs)}
