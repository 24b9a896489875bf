"""From three files of one's own to recommendations: interactions, a catalogue, and features of the items.

The script first writes such files, of a made-up library: ``loans.csv`` (who borrowed what, with stars),
``books.csv`` (id, title, genres, author, year) and ``covers.npy`` (one row of numbers a book, in the order of
``books.csv``). Then it does what a person with real files would do. The same by the command line is in the
README.

Writes the data set ``data/``, the run ``run/`` and ``recommendations.csv``. Takes about a quarter of a
minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from kdiffe_dgl.data.imports import TableOptions, import_dataset
from kdiffe_dgl.data.knowledge import KnowledgeOptions
from kdiffe_dgl.serving import Recommender
from kdiffe_dgl.training.config import preset, resolve
from kdiffe_dgl.training.run import train_run

RULES = """\
label: title
rules:
  - {kind: list, field: genres, delimiter: "|", relation: genre}
  - {kind: categorical, field: author}
  - {kind: decade, field: year, relation: decade}
"""


def main() -> None:
    """Write the files, import them, train, and recommend."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-04"), help="folder for the results")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    raw = options.output / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    write_library(raw)

    dataset = import_dataset(
        raw / "loans.csv",
        "table",
        name="library",
        item_labels=raw / "books.csv",
        features={"cover": raw / "covers.npy"},
        table=TableOptions(user_column="reader", item_column="book", rating_column="stars"),
        knowledge=KnowledgeOptions(rules=str(raw / "rules.yaml"), metadata=raw / "books.csv", modalities={}),
    )
    dataset.save(options.output / "data", overwrite=True)
    print(f"{dataset.n_users} users, {dataset.n_items} items, {len(dataset.interactions)} interactions")
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(dataset.kg.relation_counts().select("name", "triples", "tails"))

    settings = resolve(preset("default"), [f"training.epochs={options.epochs}"])
    outcome = train_run(dataset, options.output / "run", settings, device="cpu", overwrite=True)
    print(f"best epoch {outcome.fit.best_epoch}, test recall@10 {outcome.test.metrics['recall@10']:.4f}")

    recommender = Recommender.load(options.output / "run")
    # A reader who is not in the data gets what is popular, if one asks for that.
    lists = recommender.recommend(["reader8", "somebody new"], k=5, unknown="popular")
    lists.write_csv(options.output / "recommendations.csv")
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(lists.select("user", "rank", "label", "score", "reason"))
    print(f"written to {options.output}")


def write_library(folder: Path, n_readers: int = 150, n_books: int = 120) -> None:
    """Write the files of a library whose readers mostly borrow one genre."""
    rng = np.random.default_rng(0)
    genres = np.array(["Crime", "Travel", "Poetry", "Cookery", "History"])
    genre = rng.integers(len(genres), size=n_books)
    second = rng.integers(len(genres), size=n_books)
    author = rng.integers(30, size=n_books)
    pl.DataFrame(
        {
            "id": [f"b{book}" for book in range(n_books)],
            "title": [f"{name} volume {book}" for book, name in enumerate(genres[genre])],
            "genres": [f"{one}|{two}" for one, two in zip(genres[genre], genres[second], strict=True)],
            "author": [f"Author {number}" for number in author],
            "year": rng.integers(1960, 2020, n_books),
        }
    ).write_csv(folder / "books.csv")

    favourite = np.arange(n_readers) % len(genres)
    liking = np.where(genre[None, :] == favourite[:, None], 2.5, 0.0) + rng.gumbel(size=(n_readers, n_books))
    borrowed = np.argsort(-liking, axis=1)[:, :12]
    pl.DataFrame(
        {
            "reader": np.repeat([f"reader{reader}" for reader in range(n_readers)], borrowed.shape[1]),
            "book": [f"b{book}" for book in borrowed.ravel()],
            "stars": rng.integers(3, 6, borrowed.size),
            "when": np.datetime_as_string(np.datetime64("2023-01-01") + np.arange(borrowed.size) % 700),
        }
    ).write_csv(folder / "loans.csv")

    looks = rng.normal(size=(len(genres), 16))[genre] + rng.normal(size=(n_books, 16))
    np.save(folder / "covers.npy", looks.astype(np.float32))
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")


if __name__ == "__main__":
    main()
