"""An inspection in words and plain values: notes, JSON, and a summary for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from kdiffe_dgl.evaluation.tables import fitted_weights
from kdiffe_dgl.explain.facts import PROPOSED
from kdiffe_dgl.inspection.figures import MOST_RELATIONS
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.run_folder import GRAPHS
from kg_builders.reporting.distributions import histogram
from kg_builders.schema import ITEM

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from kdiffe_dgl.inspection.inspection import Inspection

__all__ = [
    "MOST_ROWS",
    "facts_of",
    "notes_of",
    "plain_values",
    "proposals_of",
    "relation_rows",
    "summary",
]

MOST_ROWS = 100
"""Rows of a table in JSON."""
_TERMINAL_ROWS = 12


def notes_of(inspection: Inspection, has_graphs: bool) -> list[str]:
    """Return what is not there, and why; what to know of what is; and what was cut."""
    run, dataset, model = inspection.run, inspection.dataset, inspection.model
    if run.info.model != KDiffE.name:
        notes = [
            "Diffusion, random walks and the weights of modalities can be looked into in runs of "
            f"{KDiffE.name}; of {run.info.model} there are training, representations and lists."
        ]
    elif not has_graphs:
        notes = [
            f"The run keeps no {GRAPHS}, as runs of earlier versions: what diffusion did is not known, and "
            "the model can't be restored. Training it again writes the file."
        ]
    else:
        assert model is not None
        notes = _model_notes(model, inspection)
    notes += _cuts(inspection)
    if inspection.pictures.broken:
        count, first = len(inspection.pictures.broken), inspection.pictures.broken[0]
        notes.append(f"{count} of the pictures can't be read, the first being {first}.")
    if inspection.options.pictures is None and dataset.features:
        notes.append(
            "The lists are without pictures: a data set keeps none; give a folder of them to see them."
        )
    return notes


def _model_notes(model: KDiffE, inspection: Inspection) -> list[str]:
    notes = []
    if inspection.dataset.kg is None:
        notes.append(
            f"Data set {inspection.dataset.name} has no knowledge graph, so diffusion had none to change."
        )
    elif inspection.relations is None:
        notes.append(
            "The model leaves the knowledge graph out (model.knowledge.layers is 0, or it has no triples)."
        )
    elif model.config.knowledge.main == "full":
        notes.append(
            "Scores read the knowledge graph as it was built; the regenerated one is contrasted with it in "
            "training (model.knowledge.main is full)."
        )
    else:
        notes.append("Scores read the regenerated knowledge graph (model.knowledge.main is regenerated).")
    if inspection.relations is not None and not model.config.knowledge.candidates:
        notes.append("Diffusion may propose no new links (model.knowledge.candidates is empty).")
    if inspection.attention is None:
        notes.append("The model has no random walks (model.attention.epsilon is 0).")
    if model.modality_views is None:
        notes.append(
            f"Data set {inspection.dataset.name} has no features, so there are no modalities to weigh."
        )
    elif model.scored_modalities is None:
        notes.append(
            "The multimodal view does not speak in the score (model.modality.score_weight is 0): features "
            "can do so through contrast in training (model.contrast.modality_weight), through their "
            "profiles (model.profile.modality_weight) and through the pairwise view (model.pairwise.weight)."
        )
    return notes


def _cuts(inspection: Inspection) -> list[str]:
    options, notes = inspection.options, []
    if inspection.relations is not None:
        known = len(inspection.relations.filter(pl.col("triples") > 0))
        if known > MOST_RELATIONS:
            notes.append(f"The figure has the {MOST_RELATIONS} relations with most triples, of {known:,}.")
    if inspection.entity_strength is not None and len(inspection.entity_strength) > 2 * options.top:
        count = len(inspection.entity_strength)
        notes.append(f"Of {count:,} entities, at most {options.top} are told at either end.")
    if inspection.map is not None and len(inspection.map.points) < inspection.map.items:
        shown, count = len(inspection.map.points), inspection.map.items
        notes.append(f"The map has {shown:,} items, drawn at random from {count:,}.")
    if inspection.attention is not None:
        sizes = inspection.attention["side"].value_counts()["count"]
        if len(sizes) and sizes.to_numpy().max() > options.most_points:
            notes.append(
                f"The plot of attention has at most {options.most_points:,} users and items, drawn at "
                "random; medians and quartiles are those of all."
            )
    return notes


def facts_of(inspection: Inspection) -> dict[str, Any]:
    """Return the few values that matter most, by name."""
    found: dict[str, Any] = {"epochs": len(inspection.history)}
    for metric in ("recall@20", "ndcg@20"):
        value = (inspection.metrics.get("test") or {}).get(metric)
        if value is not None:
            found[f"test {metric}"] = value
    fitted = inspection.metrics.get("scoring_weights")
    if fitted:
        found["weights in the score, fitted on validation"] = fitted_weights(fitted)
    if inspection.relations is not None:
        triples, kept = (int(inspection.relations[name].sum()) for name in ("triples", "kept"))
        found |= {"triples": triples, "kept by diffusion": kept / triples if triples else 0.0}
        found["links proposed"] = int(inspection.relations["proposed"].sum())
    if inspection.degrees is not None:
        items = inspection.degrees.filter(pl.col("kind") == ITEM)
        before, after = (float(items[when].to_numpy().mean()) for when in ("before", "after"))
        found["facts an item, before and after"] = f"{before:.3g} → {after:.3g}"
    return found


def plain_values(inspection: Inspection) -> dict[str, Any]:
    """Return an inspection as JSON has it; see :meth:`Inspection.to_dict`."""
    run, found = inspection.run, inspection.map
    tables = {
        "relations": inspection.relations,
        "relation_strength": inspection.relation_strength,
        "strengthened": inspection.strengthened,
        "weakened": inspection.weakened,
        "interactions": inspection.interactions,
        "parts": inspection.parts,
    }
    return {
        "title": inspection.title,
        "run": {"folder": str(run.path), "model": run.info.model, "dataset": run.info.dataset,
                "seed": run.info.seed},
        "facts": {name: _plain(value) for name, value in facts_of(inspection).items()},
        "notes": inspection.notes,
        **{name: None if table is None else _rows(table) for name, table in tables.items()},
        "degrees": _degrees(inspection),
        "attention": _attention(inspection),
        "metrics": inspection.metrics,
        "map": None if found is None else {
            "coloured_by": found.colouring.name, "rule": found.colouring.rule, "projection": found.projection,
            "explained": found.explained, "items": found.items, "points": found.points.to_dicts(),
        },
        "lists": [
            {"user": one.id, "label": one.label, "history_length": one.n_history,
             "history": _rows(one.history), "recommended": _rows(one.recommended)}
            for one in inspection.lists
        ],
    }  # fmt: skip


def _rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in table.head(MOST_ROWS).to_dicts()]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _degrees(inspection: Inspection) -> dict[str, Any] | None:
    """Return histograms of the neighbours of items and of other entities."""
    table = inspection.degrees
    if table is None:
        return None
    is_item = pl.col("kind") == ITEM
    return {
        side: {when: histogram(table.filter(chosen)[when].to_numpy()) for when in ("before", "after")}
        for side, chosen in (("items", is_item), ("other_entities", ~is_item))
    }


def _attention(inspection: Inspection) -> list[dict[str, Any]] | None:
    """Return quartiles of the attention of nodes by degree, in bins that double in width."""
    table = inspection.attention
    if table is None:
        return None
    power = pl.col("degree").log(2).floor().cast(pl.Int64)
    quartiles = [
        pl.col("attention").quantile(share, "linear").alias(name)
        for share, name in ((0.25, "p25"), (0.5, "median"), (0.75, "p75"))
    ]
    binned = table.group_by("side", pl.lit(2).pow(power).alias("degree_from")).agg(
        pl.len().alias("nodes"), *quartiles
    )
    return binned.sort("side", "degree_from").to_dicts()


def relation_rows(inspection: Inspection) -> pl.DataFrame:
    """Return what became of each relation, and in one row of all proposals.

    Returns
    -------
    polars.DataFrame
        ``label``, ``relation``, ``triples``, ``kept``, ``dropped``, ``kept_share``, ``proposed``, and the
        shares of attention ``before`` and ``after``.
    """
    table, strength = inspection.relations, inspection.relation_strength
    assert table is not None
    assert strength is not None
    together = table.group_by("relation", maintain_order=True).agg(
        pl.col("triples", "kept", "dropped", "proposed").sum(), pl.col("label", "kept_share").first()
    )
    is_proposal = pl.col("relation") == PROPOSED
    named = together.with_columns(
        pl.when(is_proposal).then(pl.col("relation")).otherwise(pl.col("label")).alias("label"),
        pl.when(~is_proposal).then(pl.col("triples", "kept", "dropped")),
    )
    attention = strength.select("relation", "before", "after")
    found = named.join(attention, on="relation", how="left", maintain_order="left")
    columns = ("relation", "triples", "kept", "dropped", "kept_share", "proposed", "before", "after")
    return found.select("label", *columns)


def proposals_of(inspection: Inspection) -> str:
    """Return in a sentence which kinds of entities proposals join; empty where there are none."""
    table = inspection.relations
    assert table is not None
    rows = table.filter(pl.col("relation") == PROPOSED).select("label", "proposed").rows()
    told = "; ".join(f"{label} {count:,}" for label, count in rows[:_TERMINAL_ROWS])
    more = f"; and {len(rows) - _TERMINAL_ROWS} pairs of kinds more" if len(rows) > _TERMINAL_ROWS else ""
    return f"Proposed links by the kinds that they join: {told}{more}." if rows else ""


# --- the terminal --------------------------------------------------------------------------------


def summary(inspection: Inspection) -> RenderableType:
    """Return the tables that fit a terminal; labels are shown as they are."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = [Text(inspection.title)]
    parts.append(_table("", ["", ""], [[name, value] for name, value in facts_of(inspection).items()]))
    if inspection.relations is not None:
        columns = ["relation", "triples", "kept", "dropped", "proposed", "attention before", "after"]
        values = relation_rows(inspection).drop("relation", "kept_share")
        parts.append(_table("What diffusion did, by relation", columns, values.rows()))
        for title, table in (
            ("Most strengthened entities", inspection.strengthened),
            ("Most weakened entities", inspection.weakened),
        ):
            assert table is not None
            columns = ["entity", "kind", "attention before", "after", "neighbours before", "after"]
            values = table.select("label", "kind", "before", "after", "neighbours_before", "neighbours_after")
            parts.append(_table(title, columns, values.rows()))
    if inspection.interactions is not None:
        columns = ["modality", "interactions", "kept", "dropped", "proposed"]
        parts.append(_table("Generated user-item edges", columns, inspection.interactions.rows()))
    if inspection.parts is not None:
        columns = ["part", "learned weight", "share of the score", "lists left without it"]
        values = inspection.parts.select("part", "weight", "share", "overlap")
        parts.append(_table("What the parts weigh", columns, values.rows()))
    parts += [Text(note) for note in inspection.notes]
    return Group(*parts)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title or None, show_header=any(columns), title_justify="left")
    for number, name in enumerate(columns):
        is_text = number == 0 or name == "kind"
        table.add_column(name, justify="left" if is_text else "right")
    for row in rows[:_TERMINAL_ROWS]:
        table.add_row(*(_cell(value) for value in row))
    if len(rows) > _TERMINAL_ROWS:
        table.add_row(_cell(f"{len(rows) - _TERMINAL_ROWS} more"))
    return table


def _cell(value: Any) -> Any:
    """Return a cell; as Text, labels are no markup, and without control characters they steer nothing."""
    from rich.text import Text  # noqa: PLC0415

    if isinstance(value, float):
        value = f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    elif isinstance(value, int):
        value = f"{value:,}"
    return Text("".join(c if c.isprintable() else " " for c in str("–" if value is None else value)))
