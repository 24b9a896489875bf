"""What diffusion did to the edges: triples kept and dropped, links and interactions proposed.

Diffusion decides for pairs of entities: all triples between the same two are kept or dropped together, and
their inverses with them (see :class:`kdiffe_dgl.models.knowledge_diffusion.Regenerated`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.explain.facts import PROPOSED
from kdiffe_dgl.models.kdiffe import KDiffE
from kg_builders.schema import KnowledgeGraph

__all__ = ["KnowledgeChange", "interaction_changes"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KnowledgeChange:
    """The knowledge graph before and after diffusion.

    Parameters
    ----------
    kg
        The graph as it was built.
    kept
        Which of its triples stay, bool ``[triples]``.
    proposed
        Links that no triple states, each once, int64 ``[links, 2]``.
    """

    kg: KnowledgeGraph
    kept: npt.NDArray[np.bool_]
    proposed: Ids

    @classmethod
    def from_model(cls, model: KDiffE, kg: KnowledgeGraph) -> KnowledgeChange | None:
        """Read what diffusion did in the model's epoch; null where it had no graph to work on."""
        if model.regenerated is None:
            return None
        edges, found = model.edges.to("cpu"), model.regenerated
        size = kg.n_entities
        kept_pairs = _keys(edges.head.numpy(), edges.tail.numpy(), size)[found.kept.cpu().numpy()]
        # A pair of triples that a symmetric relation states both ways is one edge: so by pairs.
        kept = np.isin(_keys(*_ends(kg), size), kept_pairs)
        proposed = np.unique(_keys(found.head.cpu().numpy(), found.tail.cpu().numpy(), size))
        return cls(kg, kept, np.stack([proposed // size, proposed % size], axis=1))

    @cached_property
    def neighbours(self) -> tuple[Ids, Ids]:
        """How many other entities each entity is joined with, before and after, int64 ``[entities]`` each."""
        head, tail = _ends(self.kg)
        return (
            _count_neighbours(head, tail, self.kg.n_entities),
            _count_neighbours(
                np.concatenate([head[self.kept], self.proposed[:, 0]]),
                np.concatenate([tail[self.kept], self.proposed[:, 1]]),
                self.kg.n_entities,
            ),
        )

    def by_relation(self) -> pl.DataFrame:
        """Count what was kept, dropped and proposed.

        Returns
        -------
        polars.DataFrame
            ``relation`` (name), ``label``, ``triples``, ``kept``, ``dropped``, ``proposed`` and
            ``kept_share`` (null without triples): a row for each relation, in the graph's order, then one for
            each two kinds of entities that diffusion proposes to join: a proposal has no relation.
        """
        kg = self.kg
        relation = kg.triples["relation"].to_numpy()
        triples = np.bincount(relation, minlength=kg.n_relations)
        kept = np.bincount(relation[self.kept], minlength=kg.n_relations)
        known = pl.DataFrame(
            {
                "relation": kg.relations["name"],
                "label": kg.relations["label"].fill_null(kg.relations["name"]),
                "triples": triples,
                "kept": kept,
                "dropped": triples - kept,
                "proposed": np.zeros(kg.n_relations, dtype=np.int64),
            }
        )
        kinds = kg.entities["kind"]
        ends = pl.DataFrame(
            {"first": kinds.gather(self.proposed[:, 0]), "second": kinds.gather(self.proposed[:, 1])}
        )
        joined = pl.concat_str(
            pl.min_horizontal("first", "second"), pl.lit(" – "), pl.max_horizontal("first", "second")
        )
        nothing = pl.lit(0, pl.Int64)
        proposals = (
            ends.group_by(joined.alias("label"))
            .agg(pl.len().cast(pl.Int64).alias("proposed"))
            .sort("proposed", "label", descending=[True, False])
            .select(
                pl.lit(PROPOSED).alias("relation"), "label", nothing.alias("triples"), nothing.alias("kept"),
                nothing.alias("dropped"), "proposed",
            )
        )  # fmt: skip
        share = pl.when(pl.col("triples") > 0).then(pl.col("kept") / pl.col("triples"))
        return pl.concat([known, proposals]).with_columns(share.alias("kept_share"))


def interaction_changes(model: KDiffE, dataset: RecDataset) -> pl.DataFrame:
    """Count the user-item edges that diffusion generated for each modality.

    Returns
    -------
    polars.DataFrame
        ``modality``, ``interactions`` (of training), ``kept`` and ``dropped`` of them, and ``proposed``:
        pairs that are no training interactions.
    """
    size = dataset.n_items
    pairs = dataset.pairs("train")
    observed = pairs[:, 0] * size + pairs[:, 1]
    state = model.graph_state()
    rows = []
    for number, name in enumerate(model.modality_diffusions):
        users, items = state.get(f"modality/{number}/users"), state.get(f"modality/{number}/items")
        if users is None or items is None:
            continue
        found = np.unique(users.cpu().numpy() * size + items.cpu().numpy())
        kept = int(np.isin(found, observed).sum())
        rows.append((name, len(observed), kept, len(observed) - kept, len(found) - kept))
    columns = ("interactions", "kept", "dropped", "proposed")
    schema = {"modality": pl.Utf8, **dict.fromkeys(columns, pl.Int64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _ends(kg: KnowledgeGraph) -> tuple[Ids, Ids]:
    head, tail = (kg.triples[side].cast(pl.Int64).to_numpy() for side in ("head", "tail"))
    return head, tail


def _keys(first: Ids, second: Ids, size: int) -> Ids:
    """Return a number for each unordered pair."""
    return np.minimum(first, second) * size + np.maximum(first, second)


def _count_neighbours(first: Ids, second: Ids, size: int) -> Ids:
    """Return how many others each entity is joined with; an entity is not its own neighbour."""
    keys = np.unique(_keys(first, second, size)[first != second])
    return np.bincount(keys // size, minlength=size) + np.bincount(keys % size, minlength=size)
