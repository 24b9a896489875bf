"""Explanations of a trained model's recommendations."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.explain.explanation import Edge, Explanation, Node, Path
from kdiffe_dgl.explain.facts import Facts
from kdiffe_dgl.explain.paths import Limits, PathTable, connecting_paths
from kdiffe_dgl.explain.rank import RankedPath, rank_paths
from kdiffe_dgl.explain.score import EdgeScore
from kdiffe_dgl.explain.words import listed, path_sentence
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.recommender import readable_id, unknown_id
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.restore import restore_model

__all__ = ["Explainer"]

Ids = npt.NDArray[np.int64]
MOST_HOPS = 5
"""Longest path looked for: their number grows with each edge many times over."""
PEOPLE_HOPS = 3
"""Edges of a path over another user: an item of both, and that user's other item."""
SEEN_SPLITS = ("train", "validation")
"""Splits of which recommendations leave out the items."""
SHARED_FACTS = 5
"""Most facts, with those of the paths, that are shown to be shared by the item and the shown history."""


class Explainer:
    """Explains scores of a trained KDiffE.

    Parameters
    ----------
    model
        The model, such as :func:`kdiffe_dgl.training.restore.restore_model` gives.
    dataset
        The data set that it was trained on.
    run
        Facts of the run, for the explanations.

    Raises
    ------
    InputError
        If the model is another one.

    Examples
    --------
    >>> explainer = Explainer.load("runs/ml-100k", "data/ml-100k")  # doctest: +SKIP
    >>> explainer.explain("12", "50").sentences  # doctest: +SKIP
    """

    def __init__(
        self, model: RecommenderModel, dataset: RecDataset, run: dict[str, str] | None = None
    ) -> None:
        if not isinstance(model, KDiffE):
            raise _not_explainable(model.name)
        self.dataset, self.run = dataset, run or {}
        self.score = EdgeScore(model)
        encoder = self.score.encoder
        self.attention = None if encoder is None else encoder.attention.numpy()
        self._layers = 0 if encoder is None else encoder.layers
        self._facts = Facts(model, dataset, self.score.edges, self.attention)

    @classmethod
    def load(
        cls, run: str | os.PathLike[str] | RunFolder, data: str | os.PathLike[str] | RecDataset
    ) -> Explainer:
        """Restore the model of a run folder.

        Raises
        ------
        InputError
            If the run is of another model or another data set, or a file is missing or damaged.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder(run)
        if folder.info.model != KDiffE.name:
            raise _not_explainable(folder.info.model, f"{folder.path}: ")
        dataset = data if isinstance(data, RecDataset) else RecDataset.load(data)
        model = restore_model(folder, dataset)
        return cls(model, dataset, {"run": str(folder.path), "dataset": dataset.name})

    def numbers(self, user: str, item: str | None) -> tuple[int, int | None]:
        """Return the dense numbers of a user and, if it is given, an item.

        Raises
        ------
        InputError
            If one is unknown; the nearest ids are named.
        """
        found = _number(self.dataset.users, "user", user)
        return found, None if item is None else _number(self.dataset.items, "item", item)

    def paths(self, user: int, item: int, limits: Limits | None = None) -> PathTable:
        """Return all paths between a user and an item, by their dense numbers."""
        return connecting_paths(self.score.edges, self.attention, user, item, limits)

    def explain(
        self,
        user: str,
        item: str,
        paths: int = 5,
        hops: int = 3,
        facts_only: bool = False,
        limits: Limits | None = None,
    ) -> Explanation:
        """Explain why an item fits a user.

        Parameters
        ----------
        user, item
            Original ids.
        paths
            Most paths that are ranked.
        hops
            Most edges of a path.
        facts_only
            Leave out paths over other users.
        limits
            How wide to search; ``hops`` is taken from it, where it is given.

        Raises
        ------
        InputError
            If an id is unknown, or no path connects the two; the closest facts are then named.
        """
        if paths < 1 or hops not in range(1, MOST_HOPS + 1):
            raise InputError(
                f"explain: {_many(paths, 'path')} of {_many(hops, 'hop')}; "
                f"expected at least 1 path, and 1 to {MOST_HOPS} hops"
            )
        limits = limits or Limits(hops)
        number, item_number = self.numbers(user, item)
        assert item_number is not None
        table = self.paths(number, item_number, limits)
        connected = len(table) > 0
        if facts_only:
            table = table.without_users(self.dataset.n_users)
        if not len(table):
            others = facts_only and connected
            raise InputError(self._unconnected(number, item_number, limits.hops, facts_only, others))
        ranked = rank_paths(self.score, number, item_number, table, paths)
        return self._assemble(number, item_number, table, ranked, limits.hops)

    def _least_bad(self, user: int, item: int, table: PathTable) -> RankedPath:
        """Return a path where none lowers the score: one of the shortest, whose deletion raises it least."""
        score = self.score.score(user, item)
        after = self.score.without(user, item, [table.edges_of(path) for path in range(min(len(table), 32))])
        best = int(np.argmin(after))
        return RankedPath(best, score - float(after[best]), score - float(after[best]))

    def _assemble(
        self, user: int, item: int, table: PathTable, ranked: list[RankedPath], hops: int
    ) -> Explanation:
        n_users, notes = self.dataset.n_users, self._notes(user, item, table, len(ranked), hops)
        ranked = ranked or [self._least_bad(user, item, table)]
        rows = [table.nodes[one.path][table.nodes[one.path] >= 0].tolist() for one in ranked]
        last = max(len(row) for row in rows) - 1
        ends = {user: ("user", 0), n_users + item: ("item", max(last, 2))}
        nodes: dict[int, Node] = {end: self._facts.node(end, *told) for end, told in ends.items()}
        for row in rows:
            for column, number in enumerate(row[1:-1], 1):
                role = "other user" if number < n_users else "entity"
                if column == 1:
                    observed = self.score.edges.pairs.is_observed(user, number - n_users)
                    role = "history" if observed else "proposed"
                nodes.setdefault(number, self._facts.node(number, role, column))
        history = [number for number, node in nodes.items() if node.role in ("history", "proposed")]
        shared, n_shared = self._shared(history, n_users + item, set(nodes))
        if shared:
            # The item stands to the right of all that leads to it.
            nodes[n_users + item] = self._facts.node(n_users + item, "item", max(last, 3))
            for entity, _ in shared:
                nodes.setdefault(entity, self._facts.node(entity, "entity", 2))
        wanted = [(step, True) for row in rows for step in pairwise(row)]
        for entity, near in shared:
            wanted += [((owner, entity), False) for owner in near] + [((entity, n_users + item), False)]
        steps: dict[tuple[int, int], list[Edge]] = {}
        for (first, second), on_path in wanted:
            if (first, second) not in steps:
                source, target = nodes[first], nodes[second]
                steps[first, second] = self._facts.between(source, target, first, second, on_path)
        found = [
            self._path(one, row, nodes, steps, [owner for owner in history if owner != row[1]])
            for one, row in zip(ranked, rows, strict=True)
        ]
        kg, drawn = self.dataset.kg, tuple(edge for edges in steps.values() for edge in edges)
        if n_shared > len(shared):
            notes.append(
                f"{len(shared)} of {n_shared} facts that the item shares with these items are shown."
            )
        if self._layers > 1 and any(edge.kind == "knowledge" for edge in drawn):
            layers = f"{self._layers} layers"
            notes.append(f"Attention to facts: mean over the {layers}, weighted as the view adds them up.")
        return Explanation(
            user=nodes[user], item=nodes[n_users + item], score=self.score.score(user, item),
            nodes=tuple(nodes.values()), edges=drawn,
            paths=tuple(found), n_paths=len(table), hops=hops, notes=tuple(notes), run=self.run,
            relations=() if kg is None else tuple(kg.relations["name"]),
        )  # fmt: skip

    def _path(
        self,
        ranked: RankedPath,
        row: list[int],
        nodes: dict[int, Node],
        steps: dict[tuple[int, int], list[Edge]],
        others: list[int],
    ) -> Path:
        """Return a path, whose sentence names other items of the history that have its fact too."""
        through_fact = len(row) == 4 and row[2] >= self.dataset.n_users
        alike = [nodes[owner] for owner in others if through_fact and (owner, row[2]) in steps]
        on_way = [nodes[number] for number in row]
        sentence = path_sentence(on_way, [steps[step] for step in pairwise(row)], alike[:2])
        return Path(tuple(node.key for node in on_way), ranked.contribution, ranked.alone, sentence)

    def _shared(
        self, history: list[int], item: int, shown: set[int]
    ) -> tuple[list[tuple[int, list[int]]], int]:
        """Return entities that the item shares with shown history, and with which of it; how many there are.

        Those on paths come first, then those that the item attends to most, then those that more of the
        history has, then those of fewer items in all.
        """
        if self.dataset.kg is None or self.score.edges.links is None:
            return [], 0
        n_users = self.dataset.n_users
        own = self._facts.neighbours(item - n_users)
        own = own[own >= self.dataset.n_items]
        near: dict[int, list[int]] = {}
        for number in history:
            for entity in np.intersect1d(own, self._facts.neighbours(number - n_users)).tolist():
                near.setdefault(entity + n_users, []).append(number)
        weight = {entity: self._facts.attention(item - n_users, entity - n_users) for entity in near}
        size = {entity: len(self._facts.neighbours(entity - n_users)) for entity in near}
        rank = {
            entity: (entity not in shown, -weight[entity], -len(owners), size[entity], entity)
            for entity, owners in near.items()
        }
        most = max(SHARED_FACTS, len(shown & set(near)))
        return [(entity, near[entity]) for entity in sorted(near, key=rank.__getitem__)[:most]], len(near)

    def _notes(self, user: int, item: int, table: PathTable, ranked: int, hops: int) -> list[str]:
        """Return what is to be known of the paths, of which some are ranked."""
        notes = []
        if not ranked:
            notes.append("No path found lowers the score when it is deleted; the closest one is shown.")
        if len(table) > max(ranked, 1):
            within = _many(hops, "hop")
            notes.append(f"{max(ranked, 1)} of {len(table):,} connecting paths within {within} are shown.")
        notes += [f"Not followed: {cut}." for cut in table.cuts]
        if fixed := self.score.fixed(user, item):
            notes.append(f"{fixed:+.3f} of the score is the pairwise view's, which deletions leave as it is.")
        met = self.dataset.interactions.filter(
            (pl.col("user") == user) & (pl.col("item") == item) & pl.col("split").is_in(SEEN_SPLITS)
        )
        if len(met):
            split = met["split"][0]
            notes.append(f"The user has met this item already ({split} split), so it is not recommended.")
        return notes

    def _unconnected(self, user: int, item: int, hops: int, facts_only: bool, others: bool) -> str:
        """Return the sentence that says that nothing connects two, and what would help.

        Parameters
        ----------
        user, item
            Dense numbers.
        hops, facts_only
            What was asked for.
        others
            Whether paths over other users connect the two.
        """
        n_users, pairs = self.dataset.n_users, self.score.edges.pairs
        names = self._facts.node(user, "user", 0), self._facts.node(n_users + item, "item", 1)
        begin = f"explain: nothing connects user {names[0].id!r} and item {names[1].id!r}"
        begin += f"{' over facts' if facts_only else ''} within {_many(hops, 'hop')}"
        own = pairs.numbers[user].indices
        if not len(own):
            return f"{begin}, since the user has no training interactions; expected a user with a history"
        over_users = "paths over other users too, not facts only"
        if self.score.edges.links is None:
            # Paths over another user are the only ones, and no longer than this.
            near = [f"at least {PEOPLE_HOPS} hops"] if hops < PEOPLE_HOPS else []
            helps = " and ".join([*near, *([over_users] if facts_only and (others or near) else [])])
            return f"{begin}, since the scores read no knowledge graph; expected {helps or 'another item'}"
        helps = " or ".join(
            [*([over_users] if others else []), *(["more hops"] if hops < MOST_HOPS else []), "another item"]
        )
        facts = [self._told(n_users + item), self._told(*(own + n_users).tolist())]
        unread, every = self._facts.unread(item), len(self._facts.neighbours(item))
        dropped = f", but diffusion dropped {unread} of {_many(every, 'fact')}" if unread else ""
        return (
            f"{begin}; the closest facts: {names[1].label} {facts[0]}{dropped}; the user's items {facts[1]}; "
            f"expected {helps}"
        )

    def _told(self, *items: int) -> str:
        """Return the most frequent facts of items in words."""
        n_users = self.dataset.n_users
        found = [self._facts.neighbours(item - n_users) for item in items]
        entities, counts = np.unique(np.concatenate(found), return_counts=True)
        if not len(entities):
            return "has no facts" if len(items) == 1 else "have no facts"
        best = entities[np.argsort(-counts, kind="stable")[:3]]
        nodes = [self._facts.node(int(entity) + n_users, "entity", 1) for entity in best]
        verb = "has" if len(items) == 1 else "have"
        return f"{verb} {listed([f'{node.kind} {node.label}' for node in nodes])}"


def _number(table: pl.DataFrame, key: str, name: str) -> int:
    name = readable_id(name)
    found = table.filter(pl.col("id") == name)[key]
    if not len(found):
        raise unknown_id("explain", pl.Series([name]), table["id"], key)
    return int(found[0])


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _not_explainable(name: str, where: str = "") -> InputError:
    return InputError(f"{where}model {name!r} reads no knowledge graph paths; expected a run of kdiffe")
