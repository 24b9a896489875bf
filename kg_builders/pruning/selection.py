"""The step that leaves the relations which tell what users choose."""

from __future__ import annotations

import numpy as np
import polars as pl

from kg_builders.errors import InputError
from kg_builders.pruning.working import WorkingGraph
from kg_builders.usefulness import relation_usefulness

__all__ = ["take_useless"]


def take_useless(
    graph: WorkingGraph,
    interactions: pl.DataFrame | None,
    significance: float,
    permutations: int,
    seed: int,
) -> pl.DataFrame:
    """Take relations that tell no more than chance about which items the same users choose.

    Relations with too few facts to tell, or farther than two hops from items, stay.

    Parameters
    ----------
    interactions
        Training pairs: columns ``user`` and ``item``.
    significance, permutations, seed
        Of ``relation_usefulness``.

    Returns
    -------
    pl.DataFrame
        The usefulness of every relation.

    Raises
    ------
    InputError
        If there are no interactions, or others than training interactions.
    """
    if interactions is None:
        raise InputError(
            "keep_relations: useful needs training interactions; expected a table of user and item"
        )
    table = relation_usefulness(
        graph.to_graph(), interactions, significance, permutations, np.random.default_rng(seed)
    )
    useless = table.filter(pl.col("verdict").is_in(["chance", "joins nothing"]))
    number = {name: at for at, name in enumerate(graph.names)}
    examples = [
        f"{name} ({'joins no two items' if z is None else f'lift {lift:.2f}, z {z:.1f}, p {p:.2g}'})"
        for name, lift, z, p in useless.select("relation", "lift", "z", "p").iter_rows()
    ]
    kept = table.filter(pl.col("verdict") == "useful")["relation"].to_list()
    reason = "relations that tell no more than chance about what the same users choose (training only)"
    if kept:
        # Said first: what stands at the end of a reason is shown before the relations that are taken.
        reason = f"useful are {', '.join(kept[:5])}{', ...' if len(kept) > 5 else ''}; taken are {reason}"
    graph.take_relations(
        [number[name] for name in useless["relation"]], "useless relations", reason, examples
    )
    return table
