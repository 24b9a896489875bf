"""RDF, in N-Triples or Turtle, as tables: entities with labels and types, relations, and triples.

They can be linked to a catalogue, as any given graph (:meth:`RdfTables.external`), or are a knowledge graph
of their own (:meth:`RdfTables.graph`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kg_builders.errors import InputError
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph
from kg_builders.sources.bad import MAX_BAD, BadRecords
from kg_builders.sources.rdf_statements import RDF, RDF_TYPE, RDFS, statement_blocks
from kg_builders.sources.streams import Progress, file_name
from kg_builders.sources.triples import ExternalTriples

__all__ = ["LABEL_PREDICATES", "RdfTables", "read_rdf"]

LABEL_PREDICATES = (
    f"{RDFS}label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    "http://schema.org/name",
    "https://schema.org/name",
    "http://xmlns.com/foaf/0.1/name",
    "http://purl.org/dc/terms/title",
    "http://rdf.freebase.com/ns/type.object.name",
)
"""What gives a name, the first that does being taken."""

_OWL = "http://www.w3.org/2002/07/owl#"
_XSD = "http://www.w3.org/2001/XMLSchema#"
_SYMMETRIC = f"{_OWL}SymmetricProperty"
_EVERYTHING = (f"{_OWL}Thing", f"{_OWL}NamedIndividual", f"{RDFS}Resource")
# Statements that something is one of these are about the vocabulary.
_VOCABULARY = (
    f"{RDF}Property",
    f"{RDFS}Class",
    f"{RDFS}Datatype",
    *(f"{_OWL}{name}" for name in ("Class", "Ontology", "ObjectProperty", "DatatypeProperty")),
    *(f"{_OWL}{name}" for name in ("AnnotationProperty", "FunctionalProperty", "TransitiveProperty")),
    _SYMMETRIC,
    "http://rdfs.org/ns/void#Dataset",
)
_NUMBERS = (
    "decimal", "integer", "double", "float", "long", "int", "short", "byte", "nonNegativeInteger",
    "positiveInteger", "nonPositiveInteger", "negativeInteger", "unsignedLong", "unsignedInt",
    "unsignedShort", "unsignedByte",
)  # fmt: skip
_DATES = ("date", "dateTime", "dateTimeStamp", "time", "gYear", "gYearMonth", "gMonth", "gMonthDay", "gDay")
_LITERAL_KINDS = {f"{_XSD}{name}": "number" for name in _NUMBERS} | {
    f"{_XSD}{name}": "date" for name in _DATES
}

_DEFAULT_KIND = "entity"
_TYPE_KIND = "type"


@dataclass(frozen=True)
class RdfTables:
    """What an RDF file says.

    Parameters
    ----------
    entities
        Columns ``id`` (IRI, or blank node with ``_:``), ``label`` (null where there is none) and ``type``
        (IRI of the commonest ``rdf:type`` that it has, ``owl:Thing`` and the like not counted, or null),
        sorted by id.
    types
        Columns ``id`` and ``type``: all types.
    relations
        Columns ``name`` (IRI), ``label`` (given, or made from the name) and ``symmetric``, sorted by name.
    triples
        Columns ``head``, ``relation``, ``tail``, ``literal`` (null; or ``number``, ``date`` or ``text`` where
        the tail is a literal) and ``line`` (null in Turtle). Labels aren't among them, nor is what is
        said of the vocabulary; types are, as relation ``rdf:type``.
    file
        Name of the file, for provenance.
    bad
        What was left out.
    """

    entities: pl.DataFrame
    types: pl.DataFrame
    relations: pl.DataFrame
    triples: pl.DataFrame
    file: str
    bad: BadRecords

    def external(self, links: pl.DataFrame, link_file: str) -> ExternalTriples:
        """Return the triples to be linked to a catalogue.

        Parameters
        ----------
        links
            Columns ``item``, ``entity`` (IRI) and ``line``, as of ``read_item_links``.
        link_file
            Where they are from, for messages.
        """
        return ExternalTriples(
            self.triples.select("head", "relation", "tail", "line"), links, self.file, link_file
        )

    def graph(self, item_type: str | None = None) -> KnowledgeGraph:
        """Return the triples as a knowledge graph of their own.

        Parameters
        ----------
        item_type
            IRI of the type whose entities are the catalogue's items.

        Returns
        -------
        KnowledgeGraph
            Ids of entities and names of relations are IRIs. The kind of an entity is the last part of the IRI
            of its type, or the whole where two types would be called alike; ``entity`` without one, ``type``
            of types, and of literals ``number``, ``date`` or ``text``. What has no label is called by the
            last part of its IRI.

        Raises
        ------
        InputError
            If nothing is of ``item_type``.
        """
        items = self.types.filter(pl.col("type") == item_type)["id"].unique() if item_type else None
        if items is not None and not len(items):
            raise InputError(f"{self.file}: nothing is of type {item_type}; expected the IRI of a type")
        kinds = self._kinds(items)
        ends = kinds.select("id", "kind")
        triples = (
            self.triples.join(ends.rename({"id": "head", "kind": "head_kind"}), on="head", how="left")
            .join(ends.rename({"id": "tail", "kind": "tail_kind"}), on="tail", how="left")
            .select(
                "head_kind",
                "relation",
                head_id="head",
                tail_kind=pl.coalesce("literal", "tail_kind"),
                tail_id="tail",
                tail_label=pl.lit(None, pl.Utf8),
                source=pl.concat_str(pl.lit(f"{self.file}:"), "relation", pl.lit(":given")),
            )
        )
        return KnowledgeGraph.from_named(
            triples.select(list(NAMED_SCHEMA)), relations=self.relations, entities=kinds
        )

    def _kinds(self, items: pl.Series | None) -> pl.DataFrame:
        """Return id, label (never null) and kind of all entities."""
        types = self.entities.select(pl.col("type").drop_nulls().unique().sort())
        types = types.with_columns(kind=_last_part(types["type"]))
        reserved = pl.col("kind").is_in([ITEM, _DEFAULT_KIND, _TYPE_KIND, "number", "date", "text", ""])
        types = types.with_columns(
            kind=pl.when(pl.col("kind").is_duplicated() | reserved).then("type").otherwise("kind")
        )
        untyped = (
            pl.when(pl.col("id").is_in(self.types["type"].unique().implode()))
            .then(pl.lit(_TYPE_KIND))
            .otherwise(pl.lit(_DEFAULT_KIND))
        )
        kinds = self.entities.join(types, on="type", how="left", maintain_order="left").select(
            "id",
            label=pl.coalesce("label", _last_part(self.entities["id"])),
            kind=pl.coalesce("kind", untyped),
        )
        if items is None:
            return kinds
        is_item = pl.col("id").is_in(items.implode())
        return kinds.with_columns(kind=pl.when(is_item).then(pl.lit(ITEM)).otherwise("kind"))


def read_rdf(
    path: str | Path,
    *,
    format: str | None = None,
    languages: Sequence[str] = ("en", ""),
    literals: bool = False,
    label_predicates: Sequence[str] = LABEL_PREDICATES,
    max_bad: float = MAX_BAD,
    progress: Progress | None = None,
) -> RdfTables:
    """Read N-Triples or Turtle.

    Parameters
    ----------
    path
        File or URL, plain, gzip or zstd.
    format
        ``ntriples`` or ``turtle``; by default, by the ending.
    languages
        Which labels to prefer, first the most wanted: ``en`` also means ``en-gb``, the empty text means
        labels without a language. Labels in other languages are taken where there is no other.
    literals
        Make entities of literals that aren't labels; otherwise they are left out.
    label_predicates
        IRIs of what gives a name; among labels of one language, that of the first is taken.
    max_bad
        Share of the lines (in Turtle, of the statements) that may be bad; they are left out.
    progress
        Is told how far the reading is.

    Raises
    ------
    InputError
        If the file can't be read or holds no statement, too much of it is bad, or pyoxigraph is missing for
        Turtle.
    """
    bad = BadRecords(str(path), max_bad)
    labels, facts = [], []
    for block in statement_blocks(path, bad, format, progress):
        is_label = pl.col("literal") & pl.col("predicate").is_in(list(label_predicates))
        # The best of each block: dumps have a label in a hundred languages.
        labels.append(_best_labels(block.filter(is_label), languages, label_predicates))
        facts.append(block.filter(~is_label & (pl.lit(literals) | ~pl.col("literal"))).drop("language"))
    if bad.total == bad.count:
        raise InputError(f"{path}: holds no statement; expected at least one")
    return _tables(pl.concat(facts), _keep_best(pl.concat(labels)), file_name(path), bad)


def _best_labels(
    statements: pl.DataFrame, languages: Sequence[str], label_predicates: Sequence[str]
) -> pl.DataFrame:
    rank = pl.lit(2 * len(languages))
    language = pl.col("language").fill_null("")
    for place, wanted in reversed(list(enumerate(languages))):
        exact = language == wanted.lower()
        within = language.str.starts_with(f"{wanted.lower()}-") if wanted else pl.lit(False)
        rank = pl.when(exact).then(2 * place).when(within).then(2 * place + 1).otherwise(rank)
    predicates = list(label_predicates)
    order = pl.col("predicate").replace_strict(predicates, range(len(predicates)), return_dtype=pl.Int64)
    table = statements.filter(pl.col("object").str.strip_chars() != "").select(
        rank=rank.cast(pl.Int64), order=order, id="subject", language=language, label="object"
    )
    return _keep_best(table)


def _keep_best(labels: pl.DataFrame) -> pl.DataFrame:
    ordered = labels.sort("id", "rank", "language", "order", "label")
    return ordered.unique("id", keep="first", maintain_order=True)


def _tables(facts: pl.DataFrame, labels: pl.DataFrame, file: str, bad: BadRecords) -> RdfTables:
    names = labels.select("id", "label")
    typing = (pl.col("predicate") == RDF_TYPE) & ~pl.col("literal")
    vocabulary = typing & pl.col("object").is_in(_VOCABULARY)
    symmetric = facts.filter(typing & (pl.col("object") == _SYMMETRIC))["subject"]
    facts = facts.filter(~vocabulary)
    types = facts.filter(typing).select(id="subject", type="object").unique().sort("id", "type")
    triples = facts.select(
        head="subject",
        relation="predicate",
        tail="object",
        literal=pl.when("literal").then(
            pl.col("datatype").replace_strict(_LITERAL_KINDS, default="text", return_dtype=pl.Utf8)
        ),
        line="line",
    )
    relations = triples.select(name=pl.col("relation").unique().sort())
    relations = relations.join(
        names, left_on="name", right_on="id", how="left", maintain_order="left"
    ).select(
        "name",
        label=pl.coalesce("label", _words(_last_part(relations["name"]))),
        symmetric=pl.col("name").is_in(symmetric.implode()),
    )
    ids = pl.concat([triples["head"], triples.filter(pl.col("literal").is_null())["tail"].alias("head")])
    entities = (
        ids.unique()
        .sort()
        .alias("id")
        .to_frame()
        .join(names, on="id", how="left", maintain_order="left")
        .join(_commonest(types), on="id", how="left", maintain_order="left")
    )
    return RdfTables(entities, types, relations, triples, file, bad)


def _commonest(types: pl.DataFrame) -> pl.DataFrame:
    """Return the type of each entity that most others have too."""
    telling = types.filter(~pl.col("type").is_in(_EVERYTHING))
    return (
        telling.with_columns(size=pl.len().over("type"))
        .sort(["id", "size", "type"], descending=[False, True, False])
        .unique("id", keep="first", maintain_order=True)
        .select("id", "type")
    )


def _last_part(iris: pl.Series) -> pl.Series:
    """Return what is behind the last slash, number sign or colon; all where that is nothing."""
    part = iris.str.extract(r"([^/#:]+)[/#:]*$")
    return part.fill_null(iris)


def _words(names: pl.Series) -> pl.Series:
    """Return names in words: ``hasGenre`` is ``has genre``."""
    spaced = names.str.replace_all("([a-z])([A-Z])", "$1 $2").str.replace_all("[._]+", " ")
    return spaced.str.to_lowercase()
