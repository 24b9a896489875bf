"""Item records: what every source gives and every extraction rule reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError

__all__ = ["ItemRecords"]


@dataclass(frozen=True)
class ItemRecords:
    """One row an item, with the fields that its metadata has.

    Parameters
    ----------
    frame
        Column ``id`` (text, unique), and a column for each field: text, number, or a list of texts or
        numbers. Null means that the item has no value.
    files
        Field to the name of the file that it was read from, for provenance.
    label
        Field that names an item for people, where the format tells it.

    Raises
    ------
    InputError
        If there is no ``id`` column, an id is missing or occurs twice, or ``label`` is no field.
    """

    frame: pl.DataFrame
    files: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None

    def __post_init__(self) -> None:
        if "id" not in self.frame.columns:
            raise InputError(
                f"item records: no column 'id'; expected one beside {', '.join(self.frame.columns)}"
            )
        object.__setattr__(self, "frame", self.frame.with_columns(pl.col("id").cast(pl.Utf8)))
        missing = self.frame["id"].is_null() | (self.frame["id"] == "")
        if missing.any():
            raise InputError(f"item records: record {missing.arg_max()} has no id; expected one for each")
        repeated = self.frame.filter(pl.col("id").is_duplicated())["id"]
        if len(repeated):
            raise InputError(f"item records: id {repeated[0]!r} occurs more than once; expected unique ids")
        if self.label is not None:
            self.require(self.label, "the label")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def fields(self) -> list[str]:
        """Names of the fields, ``id`` not among them."""
        return [column for column in self.frame.columns if column != "id"]

    def require(self, name: str, what: str) -> None:
        """Raise ``InputError`` if there is no field of that name; ``what`` says who asks for it."""
        if name not in self.frame.columns:
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
            list are joined by spaces. Items without a value are called by their id.
        """
        chosen = name if name is not None else self.label
        if chosen is None:
            return self.frame.select("id", label="id")
        self.require(chosen, "the label")
        label = pl.col(chosen)
        if isinstance(self.frame.schema[chosen], pl.List):
            label = label.cast(pl.List(pl.Utf8)).list.join(" ", ignore_nulls=True)
        text = label.cast(pl.Utf8).str.strip_chars()
        return self.frame.select(
            "id", label=pl.when(text.str.len_bytes() > 0).then(text).otherwise(pl.col("id"))
        )

    def select_items(self, ids: Iterable[str]) -> ItemRecords:
        """Return the records of exactly these items, in this order.

        An item without a record gets one without values, so that counts and shares are those of the
        catalogue at hand and not of everything that the raw file happens to describe.
        """
        wanted = pl.DataFrame({"id": list(ids)}, schema={"id": pl.Utf8})
        frame = wanted.join(self.frame, on="id", how="left", maintain_order="left")
        return ItemRecords(frame.select(self.frame.columns), self.files, self.label)
