"""Runs in a few lines of Python: what the commands do, returned instead of written or printed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from kdiffe_dgl.config import read_yaml
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.display import tables_html
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation import Evaluation, Evaluator, dot_product
from kdiffe_dgl.evaluation.report import write_report
from kdiffe_dgl.evaluation.tables import metrics_table
from kdiffe_dgl.serving import Recommender, RunFolder
from kdiffe_dgl.training.config import DEFAULT_PRESET, RunConfig, layer, preset, resolve

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from kdiffe_dgl.explain import Explainer, Explanation
    from kdiffe_dgl.inspection import Inspection, InspectionOptions
    from kdiffe_dgl.training.run import RunOutcome
    from kdiffe_dgl.training.trainer import Progress

__all__ = ["Run", "default_folder", "settings_for"]

StrPath = str | os.PathLike[str]


def settings_for(
    preset_name: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    model: str | None = None,
) -> RunConfig:
    """Resolve the settings of a run: preset (by default :data:`DEFAULT_PRESET`), then file, then overrides.

    Raises
    ------
    InputError
        If the preset, the model or a setting does not exist, or a value doesn't fit.
    """
    name = preset_name or DEFAULT_PRESET
    values = preset(name)
    where = f"preset {name!r}"
    if model is not None:
        # Before the file, whose settings without a name are meant for this model.
        values = layer(values, {"model": {"name": model}})
    if config is not None:
        values, where = layer(values, read_yaml(config)), str(config)
    return resolve(values, overrides, where, model)


class Run:
    """A run folder and the data set that it was trained on; everything is loaded when it is first needed.

    Parameters
    ----------
    folder
        The run folder.
    data
        The data set, or its folder.

    Attributes
    ----------
    outcome
        How the training ended; null where the run was not trained by this object.

    Raises
    ------
    InputError
        By whatever reads them: if the folder is no finished run, or the data set is another one.

    Examples
    --------
    >>> run = Run.train("data/books", "runs/books", overrides=["training.epochs=50"])  # doctest: +SKIP
    >>> run.evaluate().metrics["recall@20"]  # doctest: +SKIP
    >>> run.recommend(["reader8"], k=5)  # doctest: +SKIP
    >>> run.explain("reader8").draw().savefig("why.png")  # doctest: +SKIP
    """

    def __init__(self, folder: StrPath | RunFolder, data: StrPath | RecDataset) -> None:
        self.folder = folder if isinstance(folder, RunFolder) else RunFolder(folder)
        self.outcome: RunOutcome | None = None
        self._data = data

    @classmethod
    def train(
        cls,
        data: StrPath | RecDataset,
        folder: StrPath | None = None,
        *,
        model: str | None = None,
        preset_name: str | None = None,
        config: Path | None = None,
        overrides: Sequence[str] = (),
        seed: int = 0,
        device: str = "auto",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Run:
        """Train a model, as ``kdiffe train`` does.

        Parameters
        ----------
        data
            The data set, or its folder.
        folder
            The run folder; by default ``runs/DATA-MODEL-SEED``.
        model
            By default that of the preset, kdiffe.
        preset_name
            Settings to start from; by default :data:`DEFAULT_PRESET`.
        config
            YAML file of settings, over the preset.
        overrides
            ``"key=value"`` over all others, such as ``"model.dim=32"``.
        seed, device, overwrite, progress
            As of :func:`kdiffe_dgl.training.run.train_run`.
        """
        # Imported here: what only reads a run does not wait for DGL.
        from kdiffe_dgl.training.run import train_run  # noqa: PLC0415

        dataset = data if isinstance(data, RecDataset) else RecDataset.load(data)
        settings = settings_for(preset_name, config, overrides, model)
        path = Path(folder) if folder is not None else default_folder(dataset, settings, seed)
        outcome = train_run(
            dataset, path, settings, seed=seed, device=device, overwrite=overwrite, progress=progress
        )
        run = cls(path, dataset)
        run.outcome = outcome
        return run

    def resume(self, device: str = "auto", progress: Progress | None = None) -> RunOutcome:
        """Go on with a run that was stopped, as ``kdiffe train --resume`` does."""
        from kdiffe_dgl.training.run import resume_run  # noqa: PLC0415

        self.outcome = resume_run(self.dataset, self.folder.path, device=device, progress=progress)
        return self.outcome

    @cached_property
    def dataset(self) -> RecDataset:
        """The data set."""
        dataset = self._data if isinstance(self._data, RecDataset) else RecDataset.load(self._data)
        self.folder.check_dataset(dataset)
        return dataset

    @cached_property
    def recommender(self) -> Recommender:
        """Ranks the catalogue for users."""
        return Recommender.load(self.folder.path)

    @cached_property
    def explainer(self) -> Explainer:
        """Explains scores; of a run of kdiffe alone."""
        from kdiffe_dgl.explain import Explainer  # noqa: PLC0415

        return Explainer.load(self.folder, self.dataset)

    def evaluate(
        self,
        split: str = "test",
        mask: Sequence[str] = ("train",),
        cutoffs: Sequence[int] = (5, 10, 20, 50),
    ) -> Evaluation:
        """Measure the run on a split, as ``kdiffe evaluate`` does.

        Parameters
        ----------
        split
            ``"validation"`` or ``"test"``.
        mask
            Splits whose items are left out of the lists.
        cutoffs
            Lengths of the lists.
        """
        user, item = self.folder.representations()
        evaluator = Evaluator(self.dataset, split, tuple(mask), tuple(cutoffs))
        return evaluator.evaluate(dot_product(torch.from_numpy(user), torch.from_numpy(item)))

    def recommend(
        self,
        users: Sequence[str],
        k: int = 20,
        exclude_seen: bool = True,
        unknown: Literal["error", "popular"] = "error",
    ) -> pl.DataFrame:
        """Recommend items; see :meth:`kdiffe_dgl.serving.Recommender.recommend`."""
        return self.recommender.recommend(users, k, exclude_seen, unknown)

    def explain(
        self, user: str, item: str | None = None, paths: int = 5, hops: int = 3, facts_only: bool = False
    ) -> Explanation:
        """Explain an item, by default the one that is recommended first.

        The arguments are those of :meth:`kdiffe_dgl.explain.Explainer.explain`.
        """
        if item is None:
            return self.explain_top(user, 1, paths, hops, facts_only)[0]
        return self.explainer.explain(user, item, paths, hops, facts_only)

    def explain_top(
        self, user: str, k: int = 3, paths: int = 5, hops: int = 3, facts_only: bool = False
    ) -> list[Explanation]:
        """Explain the items that are recommended first, best first.

        Raises
        ------
        InputError
            If an id is unknown, there is nothing left to recommend, or nothing connects user and item.
        """
        self.explainer.numbers(user, None)
        items = self.recommend([user], k=k)["item"].to_list()
        if not items:
            raise InputError(f"explain: user {user!r} has met all items; expected an item to explain")
        return [self.explainer.explain(user, item, paths, hops, facts_only) for item in items]

    def inspect(self, options: InspectionOptions | None = None) -> Inspection:
        """Open the run up; see :class:`kdiffe_dgl.inspection.Inspection`."""
        from kdiffe_dgl.inspection import Inspection  # noqa: PLC0415

        return Inspection(self.folder, self.dataset, options)

    def curves(self) -> Figure:
        """Return the training curves."""
        from kdiffe_dgl.evaluation.curves import training_curves  # noqa: PLC0415

        return training_curves(self.folder.history())

    def report(self) -> Path:
        """Write the HTML report of the run, as ``kdiffe report`` does, and return its path."""
        return write_report(self.folder.path)

    def _repr_html_(self) -> str:
        """Show model, data and stored figures in a notebook."""
        metrics = self.folder.metrics()
        splits = {str(split): metrics[split] for split in ("validation", "test") if split in metrics}
        info = self.folder.info
        return tables_html(metrics_table(splits, f"{info.model} on {info.dataset}, seed {info.seed}"))


def default_folder(dataset: RecDataset, settings: RunConfig, seed: int) -> Path:
    """Return the folder of a run that is given none."""
    return Path("runs") / f"{dataset.name}-{settings.name}-{seed}"
