"""Item records: what every source gives and every extraction rule reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kg_builders.clean import clean_text
from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.staging import ROW, StagedTable

__all__ = ["ItemRecords"]


@dataclass(frozen=True)
class ItemRecords:
    """One row an item, with the fields that its metadata has.

    Parameters
    ----------
    table
        Column ``id`` (text, unique), and a column for each field: text, number, a list of texts or
        numbers, a list of lists of texts (paths), or a list of ``{key, value}``. Null means that the item
        has no value. Either in memory, or staged as Parquet where it needn't fit.
    files
        Field to the name of the file that it was read from, for provenance.
    label
        Field that names an item for people, where the format tells it.
    bad
        What was left out while reading, where the source tolerates it.

    Raises
    ------
    InputError
        If there is no ``id`` column, an id is missing or occurs twice, a field is called ``row``, or
        ``label`` is no field.
    """

    table: pl.DataFrame | StagedTable
    files: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None
    bad: BadRecords | None = None

    def __post_init__(self) -> None:
        names = list(self.table.schema)
        if "id" not in names:
            raise InputError(f"item records: no column 'id'; expected one beside {', '.join(names)}")
        if ROW in names:
            raise InputError(
                f"item records: a field is called {ROW!r}, which counts the records; expected another name"
            )
        # The ids of a staged table were checked as it was written.
        if isinstance(self.table, pl.DataFrame):
            object.__setattr__(self, "table", _checked(self.table))
        if self.label is not None:
            self.require(self.label, "the label")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def schema(self) -> pl.Schema:
        """Types of ``id`` and the fields."""
        return self.table.schema

    @property
    def fields(self) -> list[str]:
        """Names of the fields, ``id`` not among them."""
        return [column for column in self.schema if column != "id"]

    @property
    def frame(self) -> pl.DataFrame:
        """All of it in memory, columns ``id`` and the fields."""
        if isinstance(self.table, pl.DataFrame):
            return self.table
        return self.table.scan().select(list(self.schema)).collect()

    @property
    def parquet_files(self) -> list[Path]:
        """The Parquet parts in order, columns ``row``, ``id`` and the fields; none if it is in memory."""
        return list(self.table.files) if isinstance(self.table, StagedTable) else []

    def scan(self) -> pl.LazyFrame:
        """Return a lazy table: ``row`` (Int64, from 0 without gaps), ``id`` and the fields, in record order.

        Keep the records as long as it is used: a staged table goes with them.
        """
        if isinstance(self.table, StagedTable):
            return self.table.scan()
        return self.table.lazy().with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))

    def require(self, name: str, what: str) -> None:
        """Raise ``InputError`` if there is no field of that name; ``what`` says who asks for it."""
        if name not in self.schema:
            files = f" of {', '.join(sorted(set(self.files.values())))}" if self.files else ""
            raise InputError(
                f"{what}: no field {name!r} among the item records{files}{nearest(name, self.fields)}"
            )

    def labels(self, name: str | None = None) -> pl.DataFrame:
        """Return the items as columns ``id`` and ``label``, in row order.

        Parameters
        ----------
        name
            Field that holds the labels; without it, the one of the records, or the ids. The words of a
            list are joined by spaces; HTML and odd spaces are cleaned. Items without a value are called by
            their id.
        """
        chosen = name if name is not None else self.label
        if chosen is None:
            return self.scan().select("id", label="id").collect()
        self.require(chosen, "the label")
        label = pl.col(chosen)
        if isinstance(self.schema[chosen], pl.List):
            label = label.cast(pl.List(pl.Utf8)).list.join(" ", ignore_nulls=True)
        named = self.scan().select("id", label=label.cast(pl.Utf8)).collect()
        # A person reads "&", not "&amp;", whatever the raw file holds.
        return named.select("id", pl.coalesce(clean_text(named["label"]), pl.col("id")).alias("label"))

    def select_items(self, ids: Iterable[str]) -> ItemRecords:
        """Return the records of exactly these items, in this order; they are held in memory.

        An item without a record gets one without values, so that counts and shares are those of the
        catalogue at hand and not of everything that the raw file happens to describe.
        """
        wanted = pl.DataFrame({"id": list(ids)}, schema={"id": pl.Utf8})
        found = self.scan().join(wanted.lazy(), on="id", how="semi").collect()
        frame = wanted.join(found, on="id", how="left", maintain_order="left")
        return ItemRecords(frame.select(list(self.schema)), self.files, self.label, self.bad)


def _checked(frame: pl.DataFrame) -> pl.DataFrame:
    frame = frame.with_columns(pl.col("id").cast(pl.Utf8))
    missing = frame["id"].is_null() | (frame["id"] == "")
    if missing.any():
        raise InputError(f"item records: record {missing.arg_max()} has no id; expected one for each")
    repeated = frame.filter(pl.col("id").is_duplicated())["id"]
    if len(repeated):
        raise InputError(f"item records: id {repeated[0]!r} occurs more than once; expected unique ids")
    return frame
