"""From published files to a data set: picks the reader, the labels and the sources of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.knowledge import KnowledgeSources, with_knowledge
from kdiffe_dgl.data.readers.assemble import ImportOptions, read_labels
from kdiffe_dgl.data.readers.diffmm import read_diffmm
from kdiffe_dgl.data.readers.mmrec import read_mmrec
from kdiffe_dgl.data.readers.recbole import atomic_files, read_recbole
from kdiffe_dgl.data.readers.tabular import read_tabular
from kdiffe_dgl.errors import InputError
from kg_builders.modality import ModalitySettings
from kg_builders.rules import load_rules
from kg_builders.sources.lastfm import read_lastfm
from kg_builders.sources.recbole import read_recbole_items, read_recbole_kg
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.tabular import read_tabular as read_item_table
from kg_builders.sources.triples import ExternalTriples, read_item_links, read_triples

__all__ = ["FORMATS", "METADATA_FORMATS", "KnowledgeOptions", "TableOptions", "import_dataset"]

FORMATS = ("recbole", "mmrec", "diffmm", "table")
METADATA_FORMATS = ("recbole", "lastfm", "table")


@dataclass(frozen=True)
class TableOptions:
    """How to read a plain table; see ``read_tabular``. None: not there, or the default."""

    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    timestamp_column: str | None = None
    split_column: str | None = None
    time_unit: str = "s"
    delimiter: str | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class KnowledgeOptions:
    """Where the knowledge graph comes from.

    Parameters
    ----------
    rules
        Preset or YAML file of rules for the metadata.
    metadata, metadata_format, metadata_id
        Item metadata: file or folder, its layout (one of ``METADATA_FORMATS``), and the id field of a
        table. RecBole's own ``.item`` needs none of them.
    triples, links
        A given graph and its item-id map; both or neither. Files that end in ``.kg`` and ``.link`` are
        RecBole's, others are tab-separated without a header.
    modalities
        How to make nearest-neighbour and cluster relations of the features; None: not.
    """

    rules: str | None = None
    metadata: Path | None = None
    metadata_format: str | None = None
    metadata_id: str = "id"
    triples: Path | None = None
    links: Path | None = None
    modalities: ModalitySettings | None = None


def import_dataset(
    source: Path,
    layout: str,
    *,
    name: str | None = None,
    features: Mapping[str, Path] | None = None,
    item_labels: Path | None = None,
    item_label: str | None = None,
    options: ImportOptions | None = None,
    table: TableOptions | None = None,
    knowledge: KnowledgeOptions | None = None,
) -> RecDataset:
    """Import published files.

    Parameters
    ----------
    source
        Folder or file, as the layout has it.
    layout
        One of ``FORMATS``.
    name
        Name of the data set; None: that of the source.
    features
        Modality -> ``.npy`` file; a path that isn't there is also looked for in ``source``. None: those
        of the folder, for layouts that have them.
    item_labels
        Table whose first two columns are item ids and labels.
    item_label
        Label from RecBole's item fields.
    options, table, knowledge
        See their classes.

    Raises
    ------
    InputError
        If anything in the files is not what the layout says.
    """
    table = table or TableOptions()
    knowledge = knowledge or KnowledgeOptions()
    labels = None if item_labels is None else read_labels(item_labels)
    found = None if features is None else {key: _located(path, source) for key, path in features.items()}
    sources = _sources(source, layout, knowledge)
    if layout == "diffmm":
        dataset = read_diffmm(source, name=name, features=found, labels=labels, options=options)
    elif layout == "mmrec":
        dataset = read_mmrec(source, name=name, features=found, labels=labels, options=options)
    elif layout == "recbole":
        dataset = read_recbole(
            source,
            user_column=table.user_column or "user_id",
            item_column=table.item_column or "item_id",
            rating_column=table.rating_column or "rating",
            timestamp_column=table.timestamp_column or "timestamp",
            item_label=item_label,
            name=name,
            features=found,
            labels=labels,
            options=options,
        )
    elif layout == "table":
        dataset = read_tabular(
            source,
            user_column=table.user_column or "user",
            item_column=table.item_column or "item",
            rating_column=table.rating_column,
            timestamp_column=table.timestamp_column,
            split_column=table.split_column,
            time_unit=table.time_unit,
            delimiter=table.delimiter,
            columns=table.columns,
            name=name,
            features=found,
            labels=labels,
            options=options,
        )
    else:
        raise InputError(f"layout {layout!r} is unknown; expected {', '.join(FORMATS)}")
    return with_knowledge(dataset, sources)


def _located(path: Path, source: Path) -> Path:
    return path if path.exists() or not (source / path).exists() else source / path


def _sources(source: Path, layout: str, options: KnowledgeOptions) -> KnowledgeSources:
    records = None
    if options.rules is not None:
        records = _records(source, layout, options)
    elif options.metadata is not None:
        raise InputError(f"{options.metadata}: metadata without rules; expected rules as well (--kg-rules)")
    if (options.triples is None) != (options.links is None):
        raise InputError(
            "a given graph needs both its triples and its item-id map (--kg-triples and --kg-links)"
        )
    return KnowledgeSources(
        records,
        None if options.rules is None else load_rules(options.rules),
        _external(options.triples, options.links),
        modalities=options.modalities,
    )


def _records(source: Path, layout: str, options: KnowledgeOptions) -> ItemRecords:
    kind = options.metadata_format or ("recbole" if layout == "recbole" else "table")
    path = options.metadata
    if path is None and layout == "recbole":
        path = atomic_files(source).get("item")
    if path is None:
        raise InputError(f"{source}: rules need item metadata to work on (--metadata)")
    if kind == "recbole":
        return read_recbole_items(path)
    if kind == "lastfm":
        return read_lastfm(path)
    return read_item_table(path, options.metadata_id)


def _external(triples: Path | None, links: Path | None) -> ExternalTriples | None:
    if triples is None or links is None:
        return None
    if triples.suffix == ".kg":
        return read_recbole_kg(triples, links)
    return ExternalTriples(read_triples(triples), read_item_links(links), triples.name, links.name)
