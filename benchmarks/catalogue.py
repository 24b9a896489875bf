"""A generated catalogue in the layout of Amazon's 2023 metadata, of any size, for benchmarks.

Run ``python benchmarks/catalogue.py meta.jsonl --records 1000000 --seed 0`` for about 1 GB. Skewed as real
ones are: few brands and words are in most records. Some stores are spelled in several ways, categories
repeat, prices and details are missing, and one record in a thousand is broken.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["write_catalogue"]

BLOCK = 50_000
BROKEN = 0.001
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvxz" for vowel in "aeio"]
_SUFFIXES = ("", "", "", " Inc.", " Corp.", ", Inc", " LLC", " &amp; Co.", "®")
_COLOURS = ("Black", "White", "Red", "Blue", "Green", "Silver", "Grey", "Pink", "Brown", "Gold", "Yellow")
_MATERIALS = ("Plastic", "Metal", "Wood", "Cotton", "Leather", "Glass", "Steel", "Silicone", "Rubber")
_DEPARTMENTS = (
    "All Electronics", "Home & Kitchen", "Books", "Toys & Games", "Sports & Outdoors", "Automotive",
    "Beauty", "Office Products", "Pet Supplies", "Musical Instruments", "Grocery", "Tools & Home",
)  # fmt: skip

Texts = NDArray[np.object_]


# Between percent signs stand the columns that fill it.
_TEMPLATE = (
    '{"main_category":%department%,"title":"%title%","average_rating":%rating%,"rating_number":%ratings%,'
    '"features":["%feature0%","%feature1%"],"description":["%feature2%"],"price":%price%,"images":[{"thumb":'
    '"https://m.media-amazon.com/images/I/%id%._US40_.jpg","large":"https://m.media-amazon.com/images/I/%id%'
    '.jpg","variant":"MAIN","hi_res":null}],"videos":[],"store":%store%,"categories":%path%,"details":{'
    '"Color":"%colour%","Material":"%material%","Item model number":"%part%-%id%","Manufacturer":%store%,'
    '"Date First Available":"%date%"},"parent_asin":"%id%","bought_together":%together%}'
)


class Catalogue:
    """The names that all records share, and the generator of their choice.

    Parameters
    ----------
    records
        How many records there will be; names grow with it, as they do in real catalogues (Heaps' law).
    seed
        The same seed gives the same bytes.
    """

    def __init__(self, records: int, seed: int) -> None:
        self.records = records
        self.rng = np.random.default_rng(seed)
        self.words = self._names(max(2_000, int(120 * records**0.45)))
        self.brands = self._spelled(max(200, records // 40))
        self.paths = self._paths(max(100, int(6 * records**0.45)))
        self.phrases = _objects(self._texts(self.rng.integers(8, 24, 20_000)))
        months = ("January", "March", "May", "July", "October")
        self.dates = _objects(
            f"{months[day % 5]} {day % 28 + 1}, {year}" for year in range(2004, 2024) for day in range(60)
        )

    def block(self, first: int, count: int) -> pl.DataFrame:
        """Return the lines of records ``first`` to ``first + count``, as a table of one column."""
        rng = self.rng
        picked: dict[str, Texts] = {
            "department": _pick(rng, _objects(map(json.dumps, _DEPARTMENTS)), count, 1.2),
            "rating": _texts(np.round(rng.beta(8, 2, count) * 4 + 1, 1)),
            "ratings": _texts(np.floor(np.exp(rng.normal(3.0, 1.7, count)) + 1)),
            "price": self._maybe(_texts(np.round(np.exp(rng.normal(3.0, 1.0, count)), 2)), 0.4),
            "store": self._maybe(_pick(rng, self.brands, count, 0.9), 0.04),
            "path": self._maybe(_pick(rng, self.paths, count, 0.8), 0.06, "[]"),
            "colour": _pick(rng, _objects(_COLOURS), count, 1.0),
            "material": _pick(rng, _objects(_MATERIALS), count, 1.0),
            "part": _pick(rng, self.words, count, 0.0),
            "date": _pick(rng, self.dates, count, 0.0),
            "id": _ids(np.arange(first, first + count)),
            "together": self._together(first, count),
            **{f"feature{index}": _pick(rng, self.phrases, count, 0.3) for index in range(3)},
        }
        frame = pl.DataFrame(
            {name: pl.Series(name, list(values)).cast(pl.Utf8) for name, values in picked.items()}
        )
        frame = frame.with_columns(self._texts(np.clip(rng.poisson(9, count), 3, 25)).alias("title"))
        pieces = re.split("%([a-z0-9]+)%", _TEMPLATE)
        line = pl.concat_str(
            [pl.col(piece) if index % 2 else pl.lit(piece) for index, piece in enumerate(pieces)]
        )
        broken = pl.Series(rng.random(count) < BROKEN)
        return frame.select(line=pl.when(broken).then(line.str.slice(0, 200)).otherwise(line))

    def _texts(self, lengths: NDArray[np.int64]) -> pl.Series:
        """Return texts of so many words each."""
        drawn = pl.Series(list(_pick(self.rng, self.words, int(lengths.sum()), 0.9)), dtype=pl.Utf8)
        table = pl.DataFrame({"text": np.repeat(np.arange(len(lengths)), lengths), "word": drawn})
        return table.group_by("text", maintain_order=True).agg(pl.col("word").str.join(" "))["word"]

    def _together(self, first: int, count: int) -> Texts:
        """Draw other items for some; one in twenty of these is unknown."""
        values = _objects(["null"] * count)
        rows = np.flatnonzero(self.rng.random(count) < 0.15)
        others = self.rng.integers(0, max(int(self.records * 1.05), 1), (len(rows), 2))
        left, right = _ids(others[:, 0]), _ids(others[:, 1])
        values[rows] = _objects(f'["{one}","{other}"]' for one, other in zip(left, right, strict=True))
        return values

    def _maybe(self, values: Texts, missing: float, absent: str = "null") -> Texts:
        values = values.copy()
        values[self.rng.random(len(values)) < missing] = absent
        return values

    def _names(self, count: int) -> Texts:
        """Return words of two to four syllables, distinct."""
        found: dict[str, None] = {}
        while len(found) < count:
            drawn = self.rng.integers(0, len(_SYLLABLES), (count, 4))
            lengths = self.rng.integers(2, 5, count)
            for syllables, length in zip(drawn.tolist(), lengths.tolist(), strict=True):
                found["".join(_SYLLABLES[index] for index in syllables[:length]).capitalize()] = None
        return _objects(list(found)[:count])

    def _spelled(self, count: int) -> Texts:
        """Return names of stores; every third is there a second time, spelled in another way."""
        names = list(self._names(count))
        suffixes = self.rng.integers(0, len(_SUFFIXES), count)
        spelled: list[str] = []
        for index, (name, suffix) in enumerate(zip(names, suffixes.tolist(), strict=True)):
            spelled.append(name)
            if index % 3 == 0:
                spelled.append((name.upper() if suffix % 2 else name) + _SUFFIXES[suffix])
        return _objects(json.dumps(name) for name in spelled)

    def _paths(self, count: int) -> Texts:
        """Return category paths of three to five levels; ``Accessories`` is below many."""
        names = [" ".join(pair) for pair in zip(self._names(count), self._names(count), strict=True)]
        paths = []
        for index in range(count):
            department = _DEPARTMENTS[index % len(_DEPARTMENTS)]
            middle, leaf = f"{names[index // 40]} & More", f"{names[index // 6]} Kinds"
            path = [department, middle, leaf, "Accessories" if index % 6 == 0 else names[index]]
            paths.append(json.dumps(path[: 3 + index % 2]))
        return _objects(paths)


def write_catalogue(path: str | Path, records: int, seed: int = 0) -> Path:
    """Write a catalogue as JSON lines.

    Parameters
    ----------
    path
        The file to write.
    records
        Number of records, broken ones among them.
    seed
        The same seed gives the same bytes.
    """
    path = Path(path)
    catalogue = Catalogue(records, seed)
    with path.open("wb") as file:
        for first in range(0, records, BLOCK):
            lines = catalogue.block(first, min(BLOCK, records - first))["line"]
            file.write("\n".join(lines.to_list()).encode() + b"\n")
    return path


def _objects(values: Iterable[str]) -> Texts:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _texts(numbers: NDArray[np.float64]) -> Texts:
    return _objects(f"{number:g}" for number in numbers.tolist())


def _pick(rng: np.random.Generator, names: Texts, count: int, skew: float) -> Texts:
    """Draw names with a probability of 1 / rank ** skew."""
    weights = np.cumsum(np.arange(1, len(names) + 1, dtype=np.float64) ** -skew)
    return names[np.searchsorted(weights, rng.random(count) * weights[-1])]


def _ids(numbers: NDArray[np.int64]) -> Texts:
    # Scattered, as real ids are, and distinct: the multiplier is odd.
    scattered = (numbers.astype(np.uint64) * np.uint64(2_654_435_761)) % np.uint64(2**32)
    return _objects(f"B{number:09X}" for number in scattered.tolist())


def main() -> None:
    """Write a catalogue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_catalogue(options.path, options.records, options.seed)
    print(f"{options.path}: {options.path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
