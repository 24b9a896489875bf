"""From records as Amazon and MovieLens publish them to knowledge graphs, by hand-made ones.

The records are made up but have the shape and the flaws of the published files: stores spelt in several ways,
prices as numbers, as texts and as nothing, categories as paths, a line that is no JSON; titles with years and
with articles behind them, tags in any case. The real files are built the same way::

    kg-build build --source amazon --input meta_All_Beauty.jsonl.gz --rules amazon --resolve brand --out kg

Writes ``meta.jsonl`` and ``movies/`` and, of each, a graph with its report (``amazon/``, ``movielens/``) and
a picture (``amazon.png``, ``movielens.png``). Takes a few seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape

from kg_builders import build_graph, draw_subgraph, parse_recipe, sample_subgraph, write_build

CAMERAS = ["Electronics", "Camera & Photo", "Digital Cameras"]
LENSES = ["Electronics", "Camera & Photo", "Lenses"]
BAGS = ["Electronics", "Camera & Photo", "Bags & Cases"]
# parent_asin, title, store, price, path, bought together. Layout of 2023.
PRODUCTS: list[tuple[str, str, str | None, float | str | None, list[str], list[str] | None]] = [
    ("B001", "Compact camera Aster 10 with case", "Lumina", 249.0, CAMERAS, ["B007"]),
    ("B002", "Compact camera Aster 20", "Lumina Inc.", "$329.00", CAMERAS, ["B007", "B005"]),
    ("B003", "Mirrorless camera Borealis", "LUMINA", 899.0, CAMERAS, ["B005"]),
    ("B004", "Mirrorless camera Cygnus", "Oriel Optics", None, CAMERAS, ["B006"]),
    ("B005", "Zoom lens 24-70 mm", "Oriel Optics", "from $455.50", LENSES, None),
    ("B006", "Prime lens 50 mm", "Oriel Optics Ltd", 199.0, LENSES, None),
    ("B007", "Camera bag, small", "Fenwick", 29.99, BAGS, None),
    ("B008", "Camera bag, large", "fenwick", "", BAGS, ["B003"]),
    (
        "B009",
        "Lens cloth",
        None,
        4.5,
        ["Electronics", "Camera &amp; Photo", "Cleaning"],
        ["B005", "B006", "X999"],
    ),
]
AMAZON_RULES: list[dict[str, Any]] = [
    {"kind": "categorical", "field": "brand", "spelling": "merge"},
    {"kind": "path", "field": "categories", "relation": "category"},
    {"kind": "number", "field": "price", "edges": [50, 300], "relation": "price_range"},
    {"kind": "reference", "field": "bought_together", "symmetric": True},
]

MOVIES = """\
movieId,title,genres
1,"Night Ferry, The (1994)",Crime|Thriller
2,"Ferry Home (1996)",Drama
3,Copper Valley (1979),Western|Drama
4,"Return to Copper Valley (1988)",Western
5,"Lighthouse, The (Le Phare) (1997)",Crime|Drama
6,Harbour Lights,(no genres listed)
"""
TAGS = """\
userId,movieId,tag,timestamp
1,1,at sea,1000
2,1,At Sea,1001
1,2,at sea,1002
3,5,at sea,1003
2,3,slow,1004
3,4,slow,1005
"""
LINKS = "movieId,imdbId,tmdbId\n" + "".join(f"{movie},{movie:07d},{movie}\n" for movie in range(1, 7))
MOVIE_RULES: list[dict[str, Any]] = [
    {"kind": "list", "field": "genres", "relation": "genre", "missing": ["(no genres listed)"]},
    {"kind": "decade", "field": "year", "relation": "release_decade"},
    {"kind": "keyword", "field": "title", "relation": "title_word", "min_items": 2},
    {"kind": "list", "field": "tags", "relation": "tag", "spelling": "merge", "min_items": 2},
]


def main() -> None:
    """Write the records, build a graph of each, and draw a part of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-10"), help="folder for the results")
    output = parser.parse_args().output
    write_records(output)
    recipes: dict[str, dict[str, Any]] = {
        "amazon": {
            "source": {"kind": "amazon", "path": "meta.jsonl"},
            "rules": {"label": "title", "rules": AMAZON_RULES},
            # One line of ten is broken, on purpose; without this, the build would stop and say so.
            "max_bad": 0.2,
            # "Lumina Inc." is Lumina; what is merged or only likely stands in review.csv.
            "resolve": {"kinds": ["brand"]},
        },
        "movielens": {
            "source": {"kind": "movielens", "path": "movies"},
            "rules": {"label": "title", "rules": MOVIE_RULES},
        },
    }
    console = Console(width=110)
    for name, values in recipes.items():
        recipe = parse_recipe(values, name)
        kg, report = build_graph(recipe, output)
        write_build(kg, report, output / name, recipe, overwrite=True)
        console.rule(name)
        for row in kg.relation_counts().select("name", "triples", "tails").iter_rows():
            console.print(f"{escape(row[0]):16} {row[1]:3} triples, {row[2]:2} values")
        picture = draw_subgraph(
            sample_subgraph(kg, max_nodes=26), title=f"Part of the graph from {name} records"
        )
        picture.savefig(output / f"{name}.png", dpi=100)
    brands = pl.read_parquet(output / "amazon" / "entities.parquet").filter(pl.col("kind") == "brand")
    print(f"brands: {', '.join(brands['label'].sort())}")
    print(f"written to {output}")


def write_records(output: Path) -> None:
    """Write the files as they are published."""
    keys = ("parent_asin", "title", "store", "price", "categories", "bought_together")
    lines = [json.dumps(dict(zip(keys, product, strict=True))) for product in PRODUCTS]
    lines.insert(3, '{"parent_asin": "B0')
    movies = output / "movies"
    movies.mkdir(parents=True, exist_ok=True)
    (output / "meta.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, text in (("movies", MOVIES), ("tags", TAGS), ("links", LINKS)):
        (movies / f"{name}.csv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
