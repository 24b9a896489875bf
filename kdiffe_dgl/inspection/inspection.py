"""A run, opened up: every table and figure of the report is made here, when it is asked for."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.evaluation.report import checked_history, checked_metrics
from kdiffe_dgl.inspection.change import KnowledgeChange, interaction_changes
from kdiffe_dgl.inspection.lists import Pictures, UserList, choose_users, user_lists
from kdiffe_dgl.inspection.maps import EmbeddingMap, choose_colouring, embedding_map
from kdiffe_dgl.inspection.options import InspectionOptions
from kdiffe_dgl.inspection.strength import Attention, entity_strength, relation_strength
from kdiffe_dgl.inspection.views import part_weights
from kdiffe_dgl.inspection.walks import walk_attention
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.recommender import Recommender
from kdiffe_dgl.serving.run_folder import GRAPHS, RunFolder
from kdiffe_dgl.training.restore import restore_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Inspection"]


class Inspection:
    """What diffusion did, what the model attends to, how training went, and what it recommends.

    Tables are Polars frames, null where the run has nothing to tell (:attr:`notes` says why); figures are
    matplotlib's, of no window and no global state. Everything is computed when it is first asked for.

    Parameters
    ----------
    run
        A run that was trained to its end.
    dataset
        The data set that it was trained on.
    options
        What to show.

    Raises
    ------
    InputError
        If the data set is another one, a file of the run is missing or damaged, or an option names a user,
        relation or entity that there is not.

    Examples
    --------
    >>> inspection = Inspection.load("runs/ml-100k", "data/ml-100k")  # doctest: +SKIP
    >>> inspection.relations  # doctest: +SKIP
    >>> inspection.draw("degrees").savefig("degrees.png")  # doctest: +SKIP
    """

    def __init__(self, run: RunFolder, dataset: RecDataset, options: InspectionOptions | None = None) -> None:
        run.check_dataset(dataset)
        self.run, self.dataset, self.options = run, dataset, options or InspectionOptions()
        self.metrics: dict[str, Any] = checked_metrics(run)
        self.history: list[dict[str, Any]] = checked_history(run)
        self.representations = run.representations()
        # What can be wrong with the options shows before anything is computed.
        self._colouring = choose_colouring(dataset, self.options.colour_by)
        self._users = choose_users(dataset, self.options.users)
        self._has_graphs = (run.path / GRAPHS).is_file()
        model: RecommenderModel | None = None
        if run.info.model == KDiffE.name and self._has_graphs:
            model = restore_model(run, dataset)
        self.model = model if isinstance(model, KDiffE) else None

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str] | RunFolder,
        data: str | os.PathLike[str] | RecDataset,
        options: InspectionOptions | None = None,
    ) -> Inspection:
        """Open a run by the folders of the run and of its data set."""
        folder = run if isinstance(run, RunFolder) else RunFolder(run)
        dataset = data if isinstance(data, RecDataset) else RecDataset.load(data)
        return cls(folder, dataset, options)

    @property
    def title(self) -> str:
        """What is looked at."""
        return f"Inside {self.run.info.model} on {self.run.info.dataset}"

    # --- the knowledge graph ---------------------------------------------------------------------

    @cached_property
    def change(self) -> KnowledgeChange | None:
        """The knowledge graph before and after diffusion."""
        if self.model is None or self.dataset.kg is None:
            return None
        return KnowledgeChange.from_model(self.model, self.dataset.kg)

    @cached_property
    def relations(self) -> pl.DataFrame | None:
        """Triples kept and dropped, and links proposed; see :meth:`KnowledgeChange.by_relation`."""
        return None if self.change is None else self.change.by_relation()

    @cached_property
    def degrees(self) -> pl.DataFrame | None:
        """``entity``, ``kind``, ``id``, ``label``, and its neighbours ``before`` and ``after`` diffusion."""
        if self.change is None:
            return None
        before, after = self.change.neighbours
        named = self.change.kg.entities.select(
            "entity", "kind", "id", pl.col("label").fill_null(pl.col("id"))
        )
        return named.with_columns(before=before, after=after)

    @cached_property
    def _attention(self) -> tuple[Attention, Attention] | None:
        if self.model is None or self.change is None:
            return None
        graphs, symmetric = self.model.graphs, self.change.kg.relations["symmetric"].to_numpy()
        assert graphs.knowledge is not None
        assert graphs.regenerated is not None
        return (
            Attention.from_view(self.model, graphs.knowledge, symmetric),
            Attention.from_view(self.model, graphs.regenerated, symmetric),
        )

    @cached_property
    def relation_strength(self) -> pl.DataFrame | None:
        """Attention of items by relation; see :func:`kdiffe_dgl.inspection.strength.relation_strength`."""
        if self._attention is None or self.change is None:
            return None
        return relation_strength(*self._attention, self.change)

    @cached_property
    def entity_strength(self) -> pl.DataFrame | None:
        """Attention that entities get; see :func:`kdiffe_dgl.inspection.strength.entity_strength`."""
        if self._attention is None or self.change is None:
            return None
        return entity_strength(*self._attention, self.change)

    @property
    def strengthened(self) -> pl.DataFrame | None:
        """The most strengthened entities, at most ``options.top``."""
        found = self.entity_strength
        return None if found is None else found.filter(pl.col("change") > 0).head(self.options.top)

    @property
    def weakened(self) -> pl.DataFrame | None:
        """The most weakened entities, the weakest first, at most ``options.top``."""
        found = self.entity_strength
        if found is None:
            return None
        return found.filter(pl.col("change") < 0).sort("change", "entity").head(self.options.top)

    # --- interactions and views ------------------------------------------------------------------

    @cached_property
    def interactions(self) -> pl.DataFrame | None:
        """User-item edges generated for each modality; see :func:`interaction_changes`."""
        if self.model is None or not self.model.modality_diffusions:
            return None
        return interaction_changes(self.model, self.dataset)

    @cached_property
    def attention(self) -> pl.DataFrame | None:
        """Random-walk attention by user and item; see :func:`kdiffe_dgl.inspection.walks.walk_attention`."""
        return None if self.model is None else walk_attention(self.model, self.dataset)

    @cached_property
    def parts(self) -> pl.DataFrame | None:
        """Weights of views and modalities; see :func:`kdiffe_dgl.inspection.views.part_weights`."""
        if self.model is None:
            return None
        return part_weights(self.model, self._recommender, self.representations, self.compared)

    @cached_property
    def compared(self) -> list[str]:
        """Users whose lists are compared: those with a history, or as many of them as the options say."""
        users = np.unique(self.dataset.pairs("train")[:, 0])
        if len(users) > self.options.compared_users:
            rng = np.random.default_rng(self.options.seed)
            users = np.sort(rng.choice(users, self.options.compared_users, replace=False))
        return self.dataset.users["id"].gather(users).to_list()

    @cached_property
    def _seen(self) -> pl.DataFrame:
        return self.run.seen()

    def _recommender(self, users: np.ndarray, items: np.ndarray) -> Recommender:
        return Recommender(self.run.users(), self.run.items(), users, items, self._seen)

    # --- training, items and users ---------------------------------------------------------------

    @cached_property
    def diffusion(self) -> pl.DataFrame:
        """``epoch``, ``name`` and ``value`` of what diffusion told in training: losses, shares kept."""
        # The losses of the pairwise view, a side network, too, are no denoiser's.
        rows = [
            (int(entry["epoch"]), str(name), float(value))
            for entry in self.history
            for name, value in (entry.get("side") or {}).items()
            if isinstance(value, (int, float)) and np.isfinite(value) and not name.startswith("pairs/")
        ]
        schema = {"epoch": pl.Int64, "name": pl.Utf8, "value": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def map(self) -> EmbeddingMap | None:
        """The items by their representations; see :func:`kdiffe_dgl.inspection.maps.embedding_map`."""
        options = self.options
        return embedding_map(
            self.representations[1], self.dataset, self._colouring, options.projection, options.most_points,
            options.seed,
        )  # fmt: skip

    @cached_property
    def lists(self) -> list[UserList]:
        """What a few users met, and what they are recommended."""
        recommender = self._recommender(*self.representations)
        return user_lists(recommender, self.dataset, self._users, self.options.k)

    @cached_property
    def pictures(self) -> Pictures:
        """Pictures of the items of the lists; none without a folder of them."""
        if self.options.pictures is None:
            return Pictures()
        shown = [number for one in self.lists for table in (one.history, one.recommended)
                 for number in table["number"].to_list()]  # fmt: skip
        return Pictures.read(self.options.pictures, self.dataset, sorted(set(shown)))

    # --- the whole -------------------------------------------------------------------------------

    @cached_property
    def notes(self) -> list[str]:
        """What is not there, and why; and what was cut."""
        from kdiffe_dgl.inspection.words import notes_of  # noqa: PLC0415

        return notes_of(self, self._has_graphs)

    def draw(self, name: str) -> Figure:
        """Draw one of the figures that :meth:`figures` tells.

        Raises
        ------
        InputError
            If the run has no such figure.
        """
        from kdiffe_dgl.inspection.figures import draw  # noqa: PLC0415

        return draw(self, name)

    def figures(self) -> dict[str, Figure]:
        """Return all figures for which the run has something to show, by name."""
        from kdiffe_dgl.inspection.figures import names_of  # noqa: PLC0415

        return {name: self.draw(name) for name in names_of(self)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; long tables are cut as in the report."""
        from kdiffe_dgl.inspection.words import plain_values  # noqa: PLC0415

        return plain_values(self)

    def to_json(self) -> str:
        """Return the inspection as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_html(self) -> str:
        """Return a page that needs nothing else; see :mod:`kdiffe_dgl.inspection.page`."""
        from kdiffe_dgl.inspection.page import inspection_page  # noqa: PLC0415

        return inspection_page(self)

    def _repr_html_(self) -> str:
        """Show figures and notes in a notebook."""
        from kdiffe_dgl.inspection.page import notebook_fragment  # noqa: PLC0415

        return notebook_fragment(self)
