"""One static page about an inspection: no script, no other file, no request.

Every text of the data passes the escaping of :mod:`kg_builders.reporting.markup`, or is drawn in a figure as
outlines; the page's content policy lets the browser load nothing but pictures that lie in the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from kdiffe_dgl.evaluation.tables import by_cutoff
from kdiffe_dgl.inspection.figures import names_of
from kdiffe_dgl.inspection.lists import UserList
from kdiffe_dgl.inspection.views import LIST_LENGTH
from kdiffe_dgl.inspection.words import facts_of, proposals_of, relation_rows
from kg_builders.reporting.markup import (
    Markup,
    details,
    listing,
    number,
    page,
    paragraph,
    section,
    share,
    table,
    text,
    tiles,
)
from kg_builders.reporting.plots import svg

if TYPE_CHECKING:
    from kdiffe_dgl.inspection.inspection import Inspection

__all__ = ["inspection_page", "notebook_fragment", "png"]

CAPTIONS = {
    "relations": "Triples that diffusion kept, and, where there are several relations, the share of the "
    "items' attention that goes to each: over the graph as it was built (ring) and over the regenerated one "
    "(dot).",
    "entities": "Attention that entities get from all items together, before (ring) and after diffusion "
    "(dot); an item has 1 to give.",
    "degrees": "The share of the entities that are joined with at least so many others, before and after "
    "diffusion.",
    "attention": "The similarity that random walks give to the interactions of a user or an item, against "
    "how many there are. A point is a user or an item, the line the median, the band the quartiles.",
    "parts": "What the parts of the model weigh.",
    "training": "Losses by term, and validation; the best epoch is kept.",
    "diffusion": "Loss of the denoisers by epoch, and how much of the knowledge graph was kept or proposed.",
    "map": "Items by their representations, scaled to length 1. The names are of items that many users met.",
}


def inspection_page(inspection: Inspection) -> str:
    """Return the page."""
    sections = list(_sections(inspection))
    links = " ".join(f'<a href="#{text(anchor)}">{text(name)}</a>' for anchor, name, _ in sections)
    facts = [(_value(name, value), name) for name, value in facts_of(inspection).items()]
    run = inspection.run
    told = f"Run {run.path.name}, seed {run.info.seed}; data set {run.info.dataset}."
    return page(
        inspection.title,
        [
            f"<h1><bdi>{text(inspection.title)}</bdi></h1>",
            paragraph(told, "quiet"),
            tiles(facts),
            f'<nav aria-label="Sections">{links}</nav>',
            *(content for _, _, content in sections),
        ],
    )


def notebook_fragment(inspection: Inspection) -> str:
    """Return notes and figures as HTML for a notebook's cell."""
    parts = [f"<h3>{text(inspection.title)}</h3>", listing(inspection.notes)]
    for name in names_of(inspection):
        address = base64.b64encode(png(inspection, name)).decode()
        parts.append(
            f'<p><img alt="{text(CAPTIONS[name], None)}" style="max-width: 100%" '
            f'src="data:image/png;base64,{address}"></p>'
        )
    return f"<div>{''.join(parts)}</div>"


def png(inspection: Inspection, name: str) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    inspection.draw(name).savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _value(name: str, value: float | str) -> Markup:
    if isinstance(value, str):
        return text(value)
    return share(value) if name == "kept by diffusion" else number(value)


def _sections(inspection: Inspection) -> Iterator[tuple[str, str, Markup]]:
    yield "notes", "Notes", section("notes", "What to know first", listing(inspection.notes))
    if inspection.relations is not None:
        yield "diffusion", "Diffusion", _relations(inspection)
        yield "entities", "Entities", _entities(inspection)
        yield "degrees", "Degrees", section("degrees", "Degrees", _figure(inspection, "degrees"))
    if inspection.interactions is not None:
        yield "generated", "Generated edges", _generated(inspection)
    if inspection.attention is not None and len(inspection.attention):
        content = _figure(inspection, "attention")
        yield "attention", "Attention", section("attention", "Random-walk attention and degree", content)
    if inspection.parts is not None:
        yield "parts", "Modalities", _parts(inspection)
    yield "training", "Training", _training(inspection)
    if inspection.map is not None:
        rule = paragraph(inspection.map.colouring.rule, "quiet")
        yield "map", "Map", section("map", "Map of the items", _figure(inspection, "map"), rule)
    yield "lists", "Lists", section("lists", "Recommendations", *_lists(inspection))


def _figure(inspection: Inspection, name: str) -> Markup:
    if name not in names_of(inspection):
        return Markup("")
    return svg(inspection.draw(name), f"figure-{name}", CAPTIONS[name], "drawing")


def _relations(inspection: Inspection) -> Markup:
    columns = [
        ("relation", "long"), ("", "text"), ("triples", "number"), ("kept", "number"), ("dropped", "number"),
        ("share kept", "share"), ("proposed", "number"), ("attention before", "share"), ("after", "share"),
    ]  # fmt: skip
    proposals = proposals_of(inspection)
    is_repeated = pl.col("relation") == pl.col("label")
    rows = relation_rows(inspection).with_columns(pl.when(~is_repeated).then(pl.col("relation")))
    return section(
        "diffusion",
        "What diffusion did to the knowledge graph",
        paragraph(
            "Diffusion keeps or drops all that joins two entities; what it proposes has no relation. "
            "Attention is the share that items pay to each relation, with the trained embeddings."
        ),
        _figure(inspection, "relations"),
        table(columns, rows.iter_rows()),
        *([paragraph(proposals)] if proposals else []),
    )


def _entities(inspection: Inspection) -> Markup:
    columns = [
        ("entity", "long"), ("kind", "text"), ("attention before", "number"), ("after", "number"),
        ("change", "number"), ("neighbours before", "number"), ("after", "number"),
    ]  # fmt: skip
    parts = []
    for heading, rows in (("Strengthened", inspection.strengthened), ("Weakened", inspection.weakened)):
        assert rows is not None
        values = rows.select(
            "label", "kind", "before", "after", "change", "neighbours_before", "neighbours_after"
        )
        parts.append(details(f"{heading}, as a table", table(columns, values.iter_rows())))
    heading = "Entities most strengthened and weakened"
    return section("entities", heading, _figure(inspection, "entities"), *parts)


def _generated(inspection: Inspection) -> Markup:
    assert inspection.interactions is not None
    columns = [("modality", "text"), ("training interactions", "number"), ("kept", "number"),
               ("dropped", "number"), ("proposed", "number")]  # fmt: skip
    return section(
        "generated",
        "User-item edges generated for each modality",
        paragraph(
            "For every user, diffusion over the user's row keeps the items that score best. Kept are those "
            "that the user met in training; proposed are others."
        ),
        table(columns, inspection.interactions.iter_rows()),
    )


def _parts(inspection: Inspection) -> Markup:
    assert inspection.parts is not None
    columns = [("part", "text"), ("learned weight", "number"), ("share of the score", "number"),
               ("lists left without it", "share")]  # fmt: skip
    return section(
        "parts",
        "What modalities and views weigh",
        paragraph(
            "The learned weight says how features are mixed. The share of the score is that of the "
            "differences between the scores of a user's items. Lists left without it: the part's information "
            f"is taken away from the trained model, and the top {LIST_LENGTH} of "
            f"{len(inspection.compared):,} users are compared; it tells what the model relies on, "
            "not what the part is worth. A pairwise view is one part, with what it has learned of features: "
            "where a modality is taken away, that stays."
        ),
        _figure(inspection, "parts"),
        table(columns, inspection.parts.select("part", "weight", "share", "overlap").iter_rows()),
    )


def _training(inspection: Inspection) -> Markup:
    splits = [split for split in ("validation", "test") if inspection.metrics.get(split)]
    cutoffs = {cutoff for split in splits for cutoff in by_cutoff(inspection.metrics[split])[0]}
    # One cutoff is enough here: 20, or else the longest.
    cutoff = 20 if 20 in cutoffs else max(cutoffs, default=0)
    found = {split: by_cutoff(inspection.metrics[split])[1] for split in splits}
    names = dict.fromkeys(name for split in splits for name in found[split])
    rows = [[f"{name}@{cutoff}", *(found[split].get(name, {}).get(cutoff) for split in splits)]
            for name in names]  # fmt: skip
    return section(
        "training",
        "Training",
        _figure(inspection, "training"),
        _figure(inspection, "diffusion"),
        table([("metric", "text"), *((split, "number") for split in splits)], rows),
    )


def _lists(inspection: Inspection) -> Iterator[Markup]:
    if not inspection.lists:
        yield paragraph("No user has training interactions.")
    for one in inspection.lists:
        yield Markup(f"<h3><bdi>{text(_user(one))}</bdi></h3>")
        yield paragraph(_met(one))
        yield _strip(inspection, one)
        columns = [("", "number"), ("", "text"), ("item", "long"), ("score", "number"), ("", "text")]
        if not inspection.pictures.addresses:
            columns.pop(1)
        yield table(columns, [_row(inspection, row) for row in one.recommended.to_dicts()])


def _row(inspection: Inspection, row: dict[str, object]) -> list[object]:
    picture = [_picture(inspection, int(str(row["number"])), str(row["label"]))]
    told = "met in the test split" if row["in_test"] else "" if row["reason"] == "model" else row["reason"]
    pictures = picture if inspection.pictures.addresses else []
    return [row["rank"], *pictures, row["label"], row["score"], told]


def _strip(inspection: Inspection, one: UserList) -> Markup:
    """Show the pictures of a user's history side by side."""
    shown = [_picture(inspection, *row) for row in one.history.select("number", "label").iter_rows()]
    return Markup(f"<p>{' '.join(shown)}</p>") if any(shown) else Markup("")


def _picture(inspection: Inspection, item: int, label: str) -> Markup:
    address = inspection.pictures.addresses.get(item)
    if address is None:
        return Markup("")
    return Markup(f'<img alt="{text(label)}" title="{text(label)}" src="{address}" height="56">')


def _user(one: UserList) -> str:
    return f"User {one.id}" if one.label == one.id else one.label


def _met(one: UserList) -> str:
    if not one.n_history:
        return "Met nothing in training."
    shown = "; ".join(one.history["label"])
    rest = one.n_history - len(one.history)
    more = f"; and {rest:,} more, that more users met" if rest else ""
    return f"Met in training: {shown}{more}."
