"""A knowledge graph as RecBole's atomic files.

A folder that is called like the data set, as RecBole wants it, holds

* ``NAME.kg``: ``head_id``, ``relation_id``, ``tail_id``, a triple a line;
* ``NAME.link``: ``item_id``, ``entity_id``, a line for each item, also those without a triple;
* ``NAME.item``: ``item_id``, ``item_label``, to be merged with other metadata, if asked for;
* ``NAME.entity`` and ``NAME.relation``: labels, and which relations are symmetric. RecBole has no place for
  these and doesn't read them; with them, the graph is read back as it was.

Entities are called ``kind:id``, relations by their names, both percent-encoded where they hold spaces,
control characters, quotation marks or percent signs. Item ids are as they are, since they have to be those of
the interactions; one that RecBole would read as something else is refused. Provenance is kept in a column
``source`` of ``NAME.kg`` if asked for, and lost otherwise.

See Zhao et al. (2021), *RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation
Algorithms*; its reader is ``pandas.read_csv``, with the rules of which this module keeps.
"""

from __future__ import annotations

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
from kg_builders.formats.percent import IN_LABEL, IN_TOKEN, percent_decode, percent_encode
from kg_builders.link import link_external
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.sources.delimited import LINE
from kg_builders.sources.recbole import read_atomic, read_recbole_kg
from kg_builders.tables import number_rows

__all__ = ["SUFFIXES", "read_recbole", "write_recbole"]

SUFFIXES = (".kg", ".link", ".item", ".entity", ".relation")

# What pandas takes for a missing value (``pandas._libs.parsers.STR_NA_VALUES``), and RecBole for padding.
_MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "[PAD]",
)  # fmt: skip
_UNREADABLE = '[\0\t\n\r]|^"'


def write_recbole(
    kg: KnowledgeGraph,
    folder: Path,
    path: Path,
    name: str | None = None,
    items: bool = False,
    provenance: bool = False,
) -> None:
    """Write the files into an existing folder, which will be called ``path``.

    Parameters
    ----------
    name
        Of the data set, which the files are called by; without it, that of ``path``.
    items
        Write ``NAME.item`` too.
    provenance
        Write the source of each triple.

    Raises
    ------
    InputError
        If there is no triple or no item, an item id is one that RecBole would read as something else, or a
        relation has an empty name.
    """
    name = _checked_name(path.name if name is None else name)
    require_triples(kg, path, "RecBole")
    kg = without_nulls(kg)
    entities = kg.entities.with_columns(token=entity_tokens(kg.entities))
    _write_items(entities, folder, path, name, items)
    entities = entities.with_columns(label=percent_encode(entities["label"], IN_LABEL))
    write_rows(
        entities.select("token", "label"),
        folder / f"{name}.entity",
        header=("entity_id:token", "label:token"),
    )
    relations = kg.relations.with_columns(token=_relation_tokens(kg.relations, path))
    write_rows(
        relations.select(
            "token", percent_encode(relations["label"], IN_LABEL), pl.col("symmetric").cast(pl.Int8)
        ),
        folder / f"{name}.relation",
        header=("relation_id:token", "label:token", "symmetric:float"),
    )
    # Numbers are the rows of the tables, so that gathering takes the place of joins.
    columns = {
        "head_id": entities["token"].gather(kg.triples["head"]),
        "relation_id": relations["token"].gather(kg.triples["relation"]),
        "tail_id": entities["token"].gather(kg.triples["tail"]),
    }
    if provenance:
        sources = kg.triples["source"].unique(maintain_order=True)
        columns["source"] = kg.triples["source"].replace_strict(sources, percent_encode(sources, IN_LABEL))
    write_rows(pl.DataFrame(columns), folder / f"{name}.kg", header=[f"{column}:token" for column in columns])


def read_recbole(folder: Path, name: str | None = None) -> KnowledgeGraph:
    """Read a knowledge graph from a folder of atomic files.

    Parameters
    ----------
    name
        Of the data set; needed where the folder holds several.

    Returns
    -------
    KnowledgeGraph
        What :func:`write_recbole` wrote is as it was, but for the sources if they weren't written. Of other
        tools' files, linked entities become items, the others are of kind ``entity``; labels are the ids,
        and no relation is symmetric.

    Raises
    ------
    InputError
        If files are missing, or what they hold doesn't fit, with file and line.
    """
    files = _find(folder, name)
    if not files[".entity"].is_file():
        return _read_foreign(files)
    entities = read_atomic(files[".entity"], ("entity_id", "label"))
    try:
        named = parse_entity_tokens(_required(files[".entity"], entities, "entity_id"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{files['.entity']}: {error} is no entity; expected a percent-encoded kind:id"
        ) from error
    relations = read_atomic(files[".relation"], ("relation_id", "label", "symmetric"))
    triples = read_atomic(files[".kg"], ("head_id", "relation_id", "tail_id"))
    relation_names = percent_decode(_required(files[".relation"], relations, "relation_id"))
    source = (
        percent_decode(triples["source"].fill_null(""))
        if "source" in triples.columns
        else triples.select(name="relation_id").select(given_source(files[".kg"].name))["source"]
    )
    return KnowledgeGraph(
        number_rows(named.with_columns(label=percent_decode(entities["label"].fill_null(""))), "entity"),
        number_rows(
            pl.DataFrame(
                {
                    "name": relation_names,
                    "label": percent_decode(relations["label"].fill_null("")),
                    "symmetric": relations["symmetric"] == 1,
                }
            ),
            "relation",
        ),
        pl.DataFrame(
            {
                "head": _numbers(files, triples, "head_id", entities["entity_id"], ".entity"),
                "relation": _numbers(files, triples, "relation_id", relations["relation_id"], ".relation"),
                "tail": _numbers(files, triples, "tail_id", entities["entity_id"], ".entity"),
                "source": source,
            }
        ),
    )


def _write_items(entities: pl.DataFrame, folder: Path, path: Path, name: str, labels: bool) -> None:
    items = entities.filter(pl.col("kind") == ITEM)
    if not len(items):
        raise InputError(f"{path}: the graph has no item, which RecBole would link; expected one at least")
    bad = items.filter(pl.col("id").is_in(_MISSING) | pl.col("id").str.contains(_UNREADABLE))
    if len(bad):
        raise InputError(
            f"{path}: item id {bad['id'][0]!r} would be read as something else by RecBole; expected one "
            "without tabs, line breaks and a quotation mark in front, that doesn't stand for a missing value"
        )
    write_rows(
        items.select("id", "token"), folder / f"{name}.link", header=("item_id:token", "entity_id:token")
    )
    if labels:
        write_rows(
            items.select("id", percent_encode(items["label"], IN_LABEL)),
            folder / f"{name}.item",
            header=("item_id:token", "item_label:token"),
        )


def _relation_tokens(relations: pl.DataFrame, path: Path) -> pl.Series:
    empty = relations.filter(pl.col("name") == "")
    if len(empty):
        raise InputError(f"{path}: relation {empty['relation'][0]} has an empty name; expected a text")
    tokens = percent_encode(relations["name"], IN_TOKEN)
    # "NA" would be no relation at all: its letters are encoded, which decodes all the same.
    missing = tokens.is_in(_MISSING)
    spelled = ["".join(f"%{byte:02X}" for byte in token.encode()) for token in tokens.filter(missing)]
    return tokens.clone().scatter(missing.arg_true(), spelled) if spelled else tokens


def _checked_name(name: str) -> str:
    """Refuse a name that would put files outside their folder."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise InputError(f"graph format recbole: the name is {name!r}; expected a file name without folders")
    return name


def _find(folder: Path, name: str | None) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected RecBole's atomic files")
    if name is None:
        found = sorted(folder.glob("*.kg"))
        if len(found) != 1:
            those = f" ({', '.join(path.name for path in found[:3])})" if found else ""
            raise InputError(
                f"{folder}: holds {len(found)} .kg files{those}; expected one, or the data set's name"
            )
        name = found[0].name.removesuffix(".kg")
    name = _checked_name(name)
    return {suffix: folder / f"{name}{suffix}" for suffix in SUFFIXES}


def _read_foreign(files: dict[str, Path]) -> KnowledgeGraph:
    external = read_recbole_kg(files[".kg"], files[".link"])
    items = external.links.select(id="item", label=pl.lit(None, pl.Utf8)).unique(maintain_order=True)
    return link_external(external, items, kind="entity")[0]


def _required(path: Path, frame: pl.DataFrame, column: str) -> pl.Series:
    missing = frame.filter(pl.col(column).is_null())
    if len(missing):
        raise InputError(f"{path}, line {missing[LINE][0]}: {column} is empty; expected a text")
    return frame[column]


def _numbers(
    files: dict[str, Path], triples: pl.DataFrame, column: str, known: pl.Series, suffix: str
) -> pl.Series:
    """Return the rows in ``known`` of the values of a column."""
    table = number_rows(pl.DataFrame({column: known}), "number")
    found = triples.select(column, LINE).join(table, on=column, how="left", maintain_order="left")
    lost = found.filter(pl.col("number").is_null())
    if len(lost):
        value, line = lost.select(column, LINE).row(0)
        raise InputError(
            f"{files['.kg']}, line {line}: {column} {value!r} isn't in {files[suffix].name}; "
            "expected one that is"
        )
    return found["number"]
