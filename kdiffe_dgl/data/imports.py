"""From published files to a data set: picks the reader, the labels and the sources of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.knowledge import KnowledgeOptions, with_knowledge
from kdiffe_dgl.data.readers.assemble import ImportOptions, read_labels
from kdiffe_dgl.data.readers.diffmm import read_diffmm
from kdiffe_dgl.data.readers.mmrec import read_mmrec
from kdiffe_dgl.data.readers.recbole import atomic_files, read_recbole
from kdiffe_dgl.data.readers.tabular import read_tabular
from kdiffe_dgl.errors import InputError

__all__ = ["FORMATS", "METADATA_FORMATS", "TableOptions", "import_dataset"]

FORMATS = ("recbole", "mmrec", "diffmm", "table")
METADATA_FORMATS = ("recbole", "lastfm", "table")


@dataclass(frozen=True)
class TableOptions:
    """How to read a plain table; see ``read_tabular``. None: not there, or the default.

    The encoding is also that of the table of item labels.
    """

    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    timestamp_column: str | None = None
    split_column: str | None = None
    time_unit: str = "s"
    delimiter: str | None = None
    columns: tuple[str, ...] | None = None
    encoding: str = "utf-8"


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
    labels = None if item_labels is None else read_labels(item_labels, encoding=table.encoding)
    found = None if features is None else {key: _located(path, source) for key, path in features.items()}
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
            encoding=table.encoding,
            name=name,
            features=found,
            labels=labels,
            options=options,
        )
    else:
        raise InputError(f"layout {layout!r} is unknown; expected {', '.join(FORMATS)}")
    if layout == "recbole" and knowledge.rules is not None and knowledge.metadata is None:
        knowledge = replace(knowledge, metadata=atomic_files(source).get("item"), metadata_format="recbole")
    resolved = knowledge.resolve(dataset)
    return dataset if resolved is None else with_knowledge(dataset, *resolved)


def _located(path: Path, source: Path) -> Path:
    return path if path.exists() or not (source / path).exists() else source / path
