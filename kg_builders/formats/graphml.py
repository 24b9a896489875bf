"""A knowledge graph as GraphML, for Gephi, yEd, Cytoscape and NetworkX.

Nodes are ``n0``, ``n1``, ... with ``id``, ``label`` and ``kind``; edges ``e0``, ``e1``, ... with ``relation``
(its name), ``label`` and ``source``. All edges are directed: readers such as NetworkX refuse a mixture. The
table of relations, with those that are symmetric, is an attribute of the graph, as JSON, so that the graph is
read back as it was, with the triples in the order of their heads. Control characters are refused, since XML
can't hold them.

See Brandes et al. (2002), *GraphML Progress Report*, and http://graphml.graphdrawing.org.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree.ElementTree import ParseError

import networkx as nx
import polars as pl

from kg_builders.errors import InputError
from kg_builders.formats.common import one_text_a_row, without_nulls
from kg_builders.formats.networkx import from_networkx
from kg_builders.schema import KnowledgeGraph

__all__ = ["read_graphml", "write_graphml"]

_NODE = ("id", "label", "kind")
_EDGE = ("relation", "label", "source")
# What isn't "Char" in XML 1.0; carriage returns are written as references, or they would become line feeds.
_NOT_IN_XML = "[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\x85": "&#133;"}
_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"


def write_graphml(kg: KnowledgeGraph, file: Path, path: Path) -> None:
    """Write a file, which will be called ``path``.

    Raises
    ------
    InputError
        If a text holds a character that XML can't.
    """
    kg = without_nulls(kg)
    relations = kg.relations.select("name", "label", "symmetric")
    for frame, columns, what in (
        (kg.entities, ["id", "label", "kind"], "entity"),
        (relations, ["name", "label"], "relation"),
        (kg.triples, ["source"], "triple"),
    ):
        _refuse_controls(frame, columns, what, path)
    head = ["<?xml version='1.0' encoding='utf-8'?>", f'<graphml xmlns="{_NAMESPACE}">']
    head += [_key(f"n_{name}", "node", name) for name in _NODE]
    head += [_key(f"e_{name}", "edge", name) for name in _EDGE]
    head += [_key("relations", "graph", "relations"), '<graph edgedefault="directed">']
    told = json.dumps(relations.to_dicts(), ensure_ascii=False)
    head += [f'<data key="relations">{_escaped(pl.Series([told]))[0]}</data>']
    entities = kg.entities.with_columns(_escaped(kg.entities[name]) for name in _NODE)
    nodes = one_text_a_row(
        entities, '<node id="n', pl.col("entity").cast(pl.Utf8), '">', *_data("n", _NODE), "</node>"
    )
    named = kg.triples.select(
        "head",
        "tail",
        relation=_escaped(relations["name"]).gather(kg.triples["relation"]),
        label=_escaped(relations["label"]).gather(kg.triples["relation"]),
        source=_escaped(kg.triples["source"]),
        number=pl.int_range(pl.len()),
    )
    edges = one_text_a_row(
        named,
        '<edge id="e',
        pl.col("number").cast(pl.Utf8),
        '" source="n',
        pl.col("head").cast(pl.Utf8),
        '" target="n',
        pl.col("tail").cast(pl.Utf8),
        '">',
        *_data("e", _EDGE),
        "</edge>",
    )
    with file.open("wb") as output:
        output.write(("\n".join(head) + "\n").encode())
        for rows in (nodes, edges):
            rows.write_csv(output, include_header=False, quote_style="never")
        output.write(b"</graph>\n</graphml>\n")


def read_graphml(file: Path) -> KnowledgeGraph:
    """Read a knowledge graph from GraphML, from :func:`write_graphml` or another tool.

    What nodes and edges of other tools may tell is said at
    :func:`kg_builders.formats.networkx.from_networkx`.

    Raises
    ------
    InputError
        If the file can't be read, isn't GraphML, or its graph isn't a valid one.
    """
    try:
        # Otherwise a file without parallel edges becomes a graph whose edges have no keys.
        graph = nx.read_graphml(file, force_multigraph=True)
    except OSError as error:
        raise InputError(f"{file}: can't be read ({error.strerror})") from error
    except ParseError as error:
        raise InputError(f"{file}, line {error.position[0]}: isn't XML ({error})") from error
    except (nx.NetworkXError, KeyError, ValueError) as error:
        raise InputError(f"{file}: isn't GraphML ({error})") from error
    told = graph.graph.get("relations")
    try:
        if isinstance(told, str):
            graph.graph["relations"] = json.loads(told)
        for _, _, facts in graph.edges(data=True):
            facts.setdefault("relation", facts.get("label"))
        return from_networkx(graph)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error


def _key(id_: str, part: str, name: str) -> str:
    return f'<key id="{id_}" for="{part}" attr.name="{name}" attr.type="string"/>'


def _data(prefix: str, names: tuple[str, ...]) -> list[pl.Expr | str]:
    parts: list[pl.Expr | str] = []
    for name in names:
        parts += [f'<data key="{prefix}_{name}">', pl.col(name), "</data>"]
    return parts


def _escaped(texts: pl.Series) -> pl.Series:
    return texts.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))


def _refuse_controls(frame: pl.DataFrame, columns: list[str], what: str, path: Path) -> None:
    for column in columns:
        bad = frame[column].str.contains(_NOT_IN_XML).arg_true()
        if len(bad):
            row = int(bad[0])
            raise InputError(
                f"{path}: {what} {row} has {frame[column][row]!r} as its {column}; "
                "XML can't hold control characters, expected a text without"
            )
