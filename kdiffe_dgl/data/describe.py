"""What a data set holds, as plain numbers and as tables to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from rich.table import Table

from kdiffe_dgl.data.dataset import SPLITS, RecDataset

__all__ = ["describe", "summary_tables"]


def describe(dataset: RecDataset) -> dict[str, Any]:
    """Count what a data set holds.

    Returns
    -------
    dict
        JSON-able. ``density`` is the share of all user-item pairs that occur;
        ``users_without_training`` and ``items_without_training`` are kept in the data, but a model
        knows nothing of their tastes or audience.
    """
    table = dataset.interactions
    training = dataset.matrix("train")
    per_user = dataset.matrix().getnnz(axis=1)
    n_pairs = dataset.n_users * dataset.n_items
    facts: dict[str, Any] = {
        "name": dataset.name,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": len(table),
        "density": len(table) / n_pairs if n_pairs else 0.0,
        "splits": {split: int((table["split"] == split).sum()) for split in SPLITS},
        "not_split": table["split"].null_count(),
        "interactions_per_user": {
            "least": int(per_user.min()) if len(per_user) else 0,
            "median": float(np.median(per_user)) if len(per_user) else 0.0,
            "most": int(per_user.max(initial=0)),
        },
        "users_without_training": int((training.getnnz(axis=1) == 0).sum()),
        "items_without_training": int((training.getnnz(axis=0) == 0).sum()),
        "left_out": {
            "rated below the minimum": dataset.provenance.get("rows_below_min_rating", 0),
            "without a rating": dataset.provenance.get("rows_without_rating", 0),
        },
        "duplicates_merged": dataset.provenance.get("duplicates_merged", 0),
        "features": {
            name: {"width": int(matrix.shape[1]), "zero_rows": int((~matrix.any(axis=1)).sum())}
            for name, matrix in dataset.features.items()
        },
        "kg": None if dataset.kg is None else _describe_kg(dataset),
        "fingerprint": dataset.fingerprint,
    }
    for column in ("rating", "timestamp"):
        if column in table.columns and table[column].count():
            facts[column] = {"least": table[column].min(), "most": table[column].max()}
    return facts


def _describe_kg(dataset: RecDataset) -> dict[str, Any]:
    assert dataset.kg is not None
    kg = dataset.kg
    kinds = kg.entities["kind"].value_counts().sort("count", "kind", descending=[True, False])
    return {
        "entities": kg.n_entities,
        "relations": kg.n_relations,
        "triples": kg.n_triples,
        "item_coverage": kg.item_coverage(),
        "kinds": dict(kinds.iter_rows()),
        "by_relation": kg.relation_counts()
        .sort("triples", "name", descending=[True, False])
        .select("name", "triples", "heads", "tails")
        .to_dicts(),
    }


def summary_tables(facts: dict[str, Any], n_relations: int = 30) -> list[Table]:
    """Lay the result of :func:`describe` out as tables.

    Parameters
    ----------
    facts
        As :func:`describe` returns them.
    n_relations
        Relations shown, the largest first.
    """
    overview = Table(title=facts["name"], show_header=False, title_justify="left")
    overview.add_column("what")
    overview.add_column("value", justify="right")
    rows = [
        ("users", f"{facts['users']:,}"),
        ("items", f"{facts['items']:,}"),
        ("interactions", f"{facts['interactions']:,}"),
        ("density", f"{facts['density']:.4%}"),
        *((f"  {split}", f"{count:,}") for split, count in facts["splits"].items()),
        *([("  not split", f"{facts['not_split']:,}")] if facts["not_split"] else []),
        (
            "interactions a user (least, median, most)",
            "{least:,} / {median:,g} / {most:,}".format(**facts["interactions_per_user"]),
        ),
        ("users without training items", f"{facts['users_without_training']:,}"),
        ("items without training users", f"{facts['items_without_training']:,}"),
        ("duplicate interactions merged", f"{facts['duplicates_merged']:,}"),
        *((f"features {name}", _feature_text(about)) for name, about in facts["features"].items()),
        ("fingerprint", facts["fingerprint"][:16]),
    ]
    for row in rows:
        overview.add_row(*row)
    kg = facts["kg"]
    if kg is None:
        overview.add_row("knowledge graph", "none")
        return [overview]
    for what in ("entities", "relations", "triples"):
        overview.add_row(f"knowledge graph {what}", f"{kg[what]:,}")
    overview.add_row("items with a triple", f"{kg['item_coverage']:.1%}")
    relations = Table(title="relations", title_justify="left")
    relations.add_column("relation")
    for column in ("triples", "heads", "tails"):
        relations.add_column(column, justify="right")
    for entry in kg["by_relation"][:n_relations]:
        relations.add_row(entry["name"], *(f"{entry[column]:,}" for column in ("triples", "heads", "tails")))
    if len(kg["by_relation"]) > n_relations:
        rest = pl.DataFrame(kg["by_relation"][n_relations:])
        relations.add_row(f"{len(rest)} more", f"{rest['triples'].sum():,}", "", "")
    return [overview, relations]


def _feature_text(about: dict[str, int]) -> str:
    empty = f", {about['zero_rows']:,} rows of zeros" if about["zero_rows"] else ""
    return f"width {about['width']:,}{empty}"
