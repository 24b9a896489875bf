"""A knowledge graph in the layout of KGAT, which many later models read.

A folder holds

* ``kg_final.txt``: head, relation and tail as numbers, a triple a line, without a header;
* ``entity_list.txt`` and ``relation_list.txt``: ``org_id remap_id``, what the numbers are;
* ``item_list.txt``: ``org_id remap_id freebase_id``; the items are the first entities, so that a number means
  the same in the interactions and in the graph; the third column is the entity's ``org_id``;
* ``entity_label.txt`` and ``relation_label.txt``: ``remap_id label`` and ``remap_id label symmetric``,
  separated by tabs. KGAT doesn't read these; with them, the graph is read back as it was, but for the order
  of its entities where items weren't the first.

Entities are called ``kind:id``, items and relations by id and name, percent-encoded where they hold spaces,
control characters, quotation marks or percent signs. Provenance is lost: it has no place here. Whoever reads
this adds the inverses, also of symmetric relations.

See Wang et al. (2019), *KGAT: Knowledge Graph Attention Network for Recommendation*, and the published data
(``Data/README.md`` and ``Model/utility/load_data.py`` of the repository).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kg_builders.errors import InputError
from kg_builders.formats.common import (
    entity_tokens,
    given_source,
    parse_entity_tokens,
    require_triples,
    without_nulls,
    write_rows,
)
from kg_builders.formats.networkx import DEFAULT_KIND
from kg_builders.formats.percent import IN_LABEL, IN_TOKEN, percent_decode, percent_encode
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.sources.delimited import LINE, read_delimited, require_columns
from kg_builders.tables import number_rows

__all__ = ["FILES", "read_kgat", "write_kgat"]

TRIPLES, ENTITIES, RELATIONS, ITEMS = "kg_final.txt", "entity_list.txt", "relation_list.txt", "item_list.txt"
ENTITY_LABELS, RELATION_LABELS = "entity_label.txt", "relation_label.txt"
FILES = (TRIPLES, ENTITIES, RELATIONS, ITEMS, ENTITY_LABELS, RELATION_LABELS)


def write_kgat(kg: KnowledgeGraph, folder: Path, path: Path) -> None:
    """Write the files into an existing folder, which will be called ``path``.

    Raises
    ------
    InputError
        If there is no triple, or a relation has an empty name.
    """
    require_triples(kg, path, "KGAT")
    kg = _items_first(without_nulls(kg))
    entities = kg.entities.with_columns(token=entity_tokens(kg.entities))
    items = entities.filter(pl.col("kind") == ITEM)
    empty = kg.relations.filter(pl.col("name") == "")
    if len(empty):
        raise InputError(f"{path}: relation {empty['relation'][0]} has an empty name; expected a text")
    write_rows(kg.triples.select("head", "relation", "tail"), folder / TRIPLES, " ")
    write_rows(entities.select("token", "entity"), folder / ENTITIES, " ", ("org_id", "remap_id"))
    write_rows(
        kg.relations.select(percent_encode(kg.relations["name"], IN_TOKEN), "relation"),
        folder / RELATIONS,
        " ",
        ("org_id", "remap_id"),
    )
    if len(items):
        # An item may have an empty id, which is no value between spaces.
        org = percent_encode(items["id"], IN_TOKEN).replace("", "%")
        write_rows(
            items.select(org, "entity", "token"), folder / ITEMS, " ", ("org_id", "remap_id", "freebase_id")
        )
    write_rows(
        entities.select("entity", percent_encode(entities["label"], IN_LABEL)),
        folder / ENTITY_LABELS,
        header=("remap_id", "label"),
    )
    write_rows(
        kg.relations.select(
            "relation", percent_encode(kg.relations["label"], IN_LABEL), pl.col("symmetric").cast(pl.Int8)
        ),
        folder / RELATION_LABELS,
        header=("remap_id", "label", "symmetric"),
    )


def read_kgat(folder: Path) -> KnowledgeGraph:
    """Read a knowledge graph in KGAT's layout.

    Returns
    -------
    KnowledgeGraph
        What :func:`write_kgat` wrote, with the file and relation as source. Of other tools' files,
        the entities in ``item_list.txt`` are items, by their ``org_id`` there, and the others of kind
        ``entity``; labels are the ids, and no relation is symmetric.

    Raises
    ------
    InputError
        If files are missing, or what they hold doesn't fit, with file and line.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected KGAT's files ({', '.join(FILES[:4])})")
    listed = _read_list(folder / ENTITIES, " ", ("org_id", "remap_id"))
    named = _read_list(folder / RELATIONS, " ", ("org_id", "remap_id"))
    if (folder / ENTITY_LABELS).is_file():
        entities = _own_entities(folder, listed)
        relations = _own_relations(folder, named)
    else:
        entities = _foreign_entities(folder, listed)
        relations = named.select(name="org_id", label="org_id", symmetric=pl.lit(False))
    entities, relations = number_rows(entities, "entity"), number_rows(relations, "relation")
    triples = _read_triples(folder / TRIPLES, len(entities), len(relations))
    names = triples.select(name=relations["name"].gather(triples["relation"]))
    return KnowledgeGraph(
        entities, relations, triples.with_columns(names.select(given_source(TRIPLES))["source"])
    )


def _items_first(kg: KnowledgeGraph) -> KnowledgeGraph:
    order = kg.entities.select(pl.arg_sort_by(pl.col("kind") != ITEM, maintain_order=True))["kind"]
    place = pl.Series(range(len(order)), dtype=pl.Int64).gather(order.arg_sort())
    return KnowledgeGraph(
        kg.entities[order.to_list()].with_columns(entity=pl.Series(range(len(order)), dtype=pl.Int64)),
        kg.relations,
        kg.triples.with_columns(head=place.gather(kg.triples["head"]), tail=place.gather(kg.triples["tail"])),
    )


def _own_entities(folder: Path, listed: pl.DataFrame) -> pl.DataFrame:
    try:
        named = parse_entity_tokens(listed["org_id"])
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder / ENTITIES}: {error} is no entity; expected a percent-encoded kind:id"
        ) from error
    labels = _read_list(folder / ENTITY_LABELS, "\t", ("remap_id", "label"), len(listed))
    return named.with_columns(label=percent_decode(labels["label"].fill_null("")))


def _own_relations(folder: Path, named: pl.DataFrame) -> pl.DataFrame:
    labels = _read_list(folder / RELATION_LABELS, "\t", ("remap_id", "label", "symmetric"), len(named))
    return pl.DataFrame(
        {
            "name": percent_decode(named["org_id"]),
            "label": percent_decode(labels["label"].fill_null("")),
            "symmetric": labels["symmetric"] == "1",
        }
    )


def _foreign_entities(folder: Path, listed: pl.DataFrame) -> pl.DataFrame:
    entities = listed.select("remap_id", id="org_id", kind=pl.lit(DEFAULT_KIND))
    if (folder / ITEMS).is_file():
        frame = read_delimited(folder / ITEMS, " ")
        require_columns(folder / ITEMS, frame, ("org_id", "remap_id"))
        items = frame.select("org_id", remap_id=_integers(folder / ITEMS, frame, "remap_id", len(listed)))
        entities = entities.join(items, on="remap_id", how="left", maintain_order="left").with_columns(
            id=pl.coalesce("org_id", "id"),
            kind=pl.when(pl.col("org_id").is_null()).then("kind").otherwise(pl.lit(ITEM)),
        )
    return entities.select("id", "kind", label="id")


def _read_list(path: Path, delimiter: str, columns: Sequence[str], length: int | None = None) -> pl.DataFrame:
    """Read a list in the order of ``remap_id``, which must be 0, 1, 2, ..."""
    frame = read_delimited(path, delimiter)
    require_columns(path, frame, columns)
    if length is not None and len(frame) != length:
        raise InputError(f"{path}: has {len(frame):,} rows; expected {length:,}, as many as it labels")
    if "org_id" in columns and frame["org_id"].null_count():
        line = frame.filter(pl.col("org_id").is_null())[LINE][0]
        raise InputError(f"{path}, line {line}: org_id is empty; expected a text")
    frame = frame.with_columns(_integers(path, frame, "remap_id", len(frame)))
    repeated = frame.filter(~pl.col("remap_id").is_first_distinct())
    if len(repeated):
        line, number = repeated.select(LINE, "remap_id").row(0)
        raise InputError(f"{path}, line {line}: remap_id {number} occurs already; expected each once")
    return frame.sort("remap_id")


def _read_triples(path: Path, n_entities: int, n_relations: int) -> pl.DataFrame:
    frame = read_delimited(path, " ", ("head", "relation", "tail"))
    bounds = {"head": n_entities, "relation": n_relations, "tail": n_entities}
    return frame.select(_integers(path, frame, column, bound) for column, bound in bounds.items())


def _integers(path: Path, frame: pl.DataFrame, column: str, bound: int) -> pl.Series:
    numbers = frame[column].cast(pl.Int64, strict=False)
    wrong = numbers.is_null() | (numbers < 0) | (numbers >= bound)
    if wrong.fill_null(True).any():
        row = frame.filter(wrong.fill_null(True))
        raise InputError(
            f"{path}, line {row[LINE][0]}: {column} is {row[column][0]!r}; "
            f"expected a number from 0 to {bound - 1}"
        )
    return numbers
