"""Amazon product metadata of 2014, 2018 and 2023, brought to one set of fields.

One record a line: Python literals in 2014, JSON since. The layouts are those of McAuley et al. (2015),
*Image-based Recommendations on Styles and Substitutes*; Ni et al. (2019), *Justifying Recommendations using
Distantly-Labeled Reviews and Fine-Grained Aspects*; Hou et al. (2024), *Bridging Language and Items for
Retrieval and Recommendation*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.sources import amazon_fields as forms
from kg_builders.sources.amazon_fields import Raw
from kg_builders.sources.bad import MAX_BAD, BadRecords, shorten
from kg_builders.sources.coerce import as_text
from kg_builders.sources.columns import DETAILS, PATHS, TEXTS, id_column
from kg_builders.sources.delimited import LINE
from kg_builders.sources.jsonlines import JsonLines, parse_json
from kg_builders.sources.literals import parse_literal
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.staging import StageWriter
from kg_builders.sources.streams import Progress, file_name, read_lines, sniff_lines

__all__ = ["AMAZON_FIELDS", "AmazonVersion", "detect_version", "read_amazon"]

AmazonVersion = Literal["2014", "2018", "2023"]

AMAZON_FIELDS: dict[str, pl.DataType] = {
    "title": pl.Utf8(),
    "brand": pl.Utf8(),
    "main_category": pl.Utf8(),
    "categories": PATHS,
    "features": TEXTS,
    "description": TEXTS,
    "price": pl.Float64(),
    "date": pl.Utf8(),
    "details": DETAILS,
    "also_buy": TEXTS,
    "also_view": TEXTS,
    "bought_together": TEXTS,
    "buy_after_viewing": TEXTS,
    "image_urls": TEXTS,
    "rank": pl.Float64(),
    "rank_category": pl.Utf8(),
    "average_rating": pl.Float64(),
    "rating_number": pl.Float64(),
}
"""Fields of the records of any version and their types; what a version doesn't tell is null.

``brand`` is ``store`` in 2023; ``price`` is in dollars, of a range the lower; ``date`` is YYYY-MM-DD;
``rank`` is the sales rank in ``rank_category``, the first where there are several.
"""

ID_FIELDS: dict[AmazonVersion, str] = {"2014": "asin", "2018": "asin", "2023": "parent_asin"}

# Field to the raw fields that it is made of, and how.
_FORMS: dict[AmazonVersion, dict[str, Raw]] = {
    "2014": {
        "title": forms.text("title"),
        "brand": forms.text("brand"),
        "categories": forms.paths("categories"),
        "description": forms.texts("description"),
        "price": forms.price("price"),
        "also_buy": forms.related("related", "also_bought"),
        "also_view": forms.related("related", "also_viewed"),
        "bought_together": forms.related("related", "bought_together"),
        "buy_after_viewing": forms.related("related", "buy_after_viewing"),
        "image_urls": forms.texts("imUrl"),
        "rank": forms.rank("salesRank"),
        "rank_category": forms.rank_category("salesRank"),
    },
    "2018": {
        "title": forms.text("title"),
        "brand": forms.text("brand"),
        "main_category": forms.text("main_cat"),
        "categories": forms.path("category"),
        "features": forms.texts("feature"),
        "description": forms.texts("description"),
        "price": forms.price("price"),
        "date": forms.date("date"),
        "details": forms.details("details"),
        "also_buy": forms.texts("also_buy"),
        "also_view": forms.texts("also_view"),
        "image_urls": forms.texts("imageURLHighRes"),
        "rank": forms.rank("rank"),
        "rank_category": forms.rank_category("rank"),
    },
    "2023": {
        "title": forms.text("title"),
        "brand": forms.text("store"),
        "main_category": forms.text("main_category"),
        "categories": forms.path("categories"),
        "features": forms.texts("features"),
        "description": forms.texts("description"),
        "price": forms.price("price"),
        "date": forms.date_of_details("details"),
        "details": forms.details("details"),
        "bought_together": forms.texts("bought_together"),
        "image_urls": forms.pictures("images"),
        "rank": forms.rank_of_details("details"),
        "rank_category": forms.rank_category_of_details("details"),
        "average_rating": forms.number("average_rating"),
        "rating_number": forms.number("rating_number"),
    },
}

# Names that tell a version from the others.
_SIGNS: dict[AmazonVersion, frozenset[str]] = {
    "2014": frozenset({"imUrl", "salesRank", "related"}),
    "2018": frozenset(
        {"also_buy", "also_view", "main_cat", "category", "feature", "imageURL", "tech1", "rank"}
    ),
    "2023": frozenset(
        {"parent_asin", "store", "features", "images", "videos", "rating_number", "main_category"}
    ),
}


def read_amazon(
    path: str | Path,
    version: AmazonVersion | None = None,
    *,
    fields: Sequence[str] | None = None,
    max_bad: float = MAX_BAD,
    progress: Progress | None = None,
    scratch: str | Path | None = None,
) -> ItemRecords:
    """Read Amazon metadata as a stream.

    Parameters
    ----------
    path
        File or URL, plain, gzip or zstd.
    version
        ``2014``, ``2018`` or ``2023``; by default, by what the first records hold.
    fields
        Which of :data:`AMAZON_FIELDS` to read; by default all. What isn't read isn't decoded, which is
        quicker.
    max_bad
        Share of bad records that is tolerated.
    progress
        Is told how far the reading is.
    scratch
        Where to stage what doesn't fit in memory; by default, the system's temporary folder.

    Returns
    -------
    ItemRecords
        The records, by ``asin`` (2023: ``parent_asin``), labelled by their titles.

    Raises
    ------
    InputError
        If the file can't be read, is of another kind, or too many records are bad.
    """
    wanted = list(AMAZON_FIELDS) if fields is None else list(fields)
    for name in wanted:
        if name not in AMAZON_FIELDS:
            raise InputError(f"{path}: no field {name!r} in Amazon metadata{nearest(name, AMAZON_FIELDS)}")
    if version is not None and version not in _FORMS:
        raise InputError(f"{path}: unknown version {version!r} of Amazon metadata{nearest(version, _FORMS)}")
    chosen = version if version is not None else detect_version(path)
    decoder = _Decoder(chosen, wanted)
    bad = BadRecords(str(path), max_bad)
    schema = {"id": pl.Utf8(), **{name: AMAZON_FIELDS[name] for name in wanted}}
    with StageWriter(bad, ID_FIELDS[chosen], scratch, schema=schema) as writer:
        for block in read_lines(path, progress):
            lines, records = decoder.lines.decode(block, bad)
            writer.append(decoder.frame(lines, records, bad))
        table = writer.finish()
    files = dict.fromkeys(wanted, file_name(path))
    return ItemRecords(table, files, "title" if "title" in wanted else None, bad)


def detect_version(path: str | Path) -> AmazonVersion:
    """Tell the version of Amazon metadata by the names of the fields of the first records.

    Raises
    ------
    InputError
        If none of the first lines is a record of any version.
    """
    block = sniff_lines(path, 200)
    counts: dict[AmazonVersion, int] = dict.fromkeys(_SIGNS, 0)
    reason = "it has no record"
    for number, line in enumerate(block.lines, start=1):
        if not line.strip():
            continue
        try:
            record = _parse_any(line)
        except ValueError as error:
            reason = f"line {number} {error} ({shorten(line)})"
            continue
        if not isinstance(record, Mapping) or not {"asin", "parent_asin"} & set(record):
            reason = f"line {number} has neither asin nor parent_asin ({shorten(line)})"
            continue
        for version, signs in _SIGNS.items():
            counts[version] += len(signs & set(record)) + (ID_FIELDS[version] in record)
    best = max(counts, key=lambda version: counts[version])
    if not counts[best]:
        raise InputError(f"{path}: isn't Amazon metadata as {reason}; expected a product record a line")
    return best


class _Decoder:
    """Decodes the raw fields that the wanted ones are made of, and makes columns of them."""

    def __init__(self, version: AmazonVersion, wanted: Sequence[str]) -> None:
        self._forms = {name: form for name in wanted if (form := _FORMS[version].get(name)) is not None}
        self._id = ID_FIELDS[version]
        raws = {form.field: form for form in self._forms.values()}
        types: dict[str, Any] = {self._id: str | int, **{name: raw.kind for name, raw in raws.items()}}
        coerce = {self._id: as_text, **{name: raw.coerce for name, raw in raws.items()}}
        self.lines = JsonLines(types, coerce, _parse_any if version == "2014" else parse_json)

    def frame(self, lines: list[int], records: list[Any], bad: BadRecords) -> pl.DataFrame:
        """Return columns ``LINE``, ``id`` and the fields that the version has."""
        ids = [
            value if value.__class__ is str else as_text(value)
            for value in self.lines.column(records, self._id)
        ]
        columns = {LINE: pl.Series(lines, dtype=pl.Int64), "id": id_column(ids)}
        raw = {form.field: self.lines.column(records, form.field) for form in self._forms.values()}
        for name, form in self._forms.items():
            columns[name] = form.column(raw[form.field], form.field, lines, bad)
        return pl.DataFrame(columns)


def _parse_any(line: bytes) -> Any:
    """Read a Python literal, or JSON, into which some have turned the files of 2014."""
    if not line.lstrip().startswith(b"{'"):
        try:
            return parse_json(line)
        except ValueError:
            pass
    return parse_literal(line)
