"""Folders in which the documentation's commands run: small files in the layouts that the pages speak of."""

from __future__ import annotations

import gzip
import json
import pickle
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kdiffe_dgl.data.catalog import CATALOG
from kdiffe_dgl.data.fetch import build
from kdiffe_dgl.data.imports import TableOptions, import_dataset
from kdiffe_dgl.data.knowledge import KnowledgeOptions
from kdiffe_dgl.data.planted_files import save_planted
from kdiffe_dgl.data.synthetic import Planted, PlantedConfig, planted
from kdiffe_dgl.training.config import preset, resolve
from kdiffe_dgl.training.run import train_run
from kdiffe_dgl.training.trainer import NoProgress
from kg_builders import write_knowledge_graph

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SPLITS = {"train": 0, "validation": 1, "test": 2}


def example(name: str) -> dict[str, Any]:
    """Return what a script in examples/ defines, without running it."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def empty(folder: Path) -> None:
    """Nothing."""


def library(folder: Path) -> None:
    """Files of a library: loans.csv (with times), books.csv, covers.npy, rules.yaml."""
    example("04_own_csv")["write_library"](folder)


def catalogue(folder: Path) -> None:
    """A catalogue without a graph: books.csv, covers.npy, data/books, train.csv; Amazon's metadata."""
    library(folder)
    dataset = import_dataset(
        folder / "loans.csv",
        "table",
        name="books",
        item_labels=folder / "books.csv",
        table=TableOptions(user_column="reader", item_column="book"),
    )
    dataset.save(folder / "data" / "books")
    users, items = dataset.pairs("train").T
    train = {"user": dataset.users["id"].gather(users), "item": dataset.items["id"].gather(items)}
    pl.DataFrame(train).write_csv(folder / "train.csv")
    for name in ("loans.csv", "rules.yaml"):
        (folder / name).unlink()
    amazon(folder)


def books(folder: Path) -> None:
    """A library with rules and a recipe, and its data set with a graph in data/books."""
    library(folder)
    recipe = {"source": {"kind": "table", "path": "books.csv", "label": "title"}, "rules": "rules.yaml"}
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    dataset = import_dataset(
        folder / "loans.csv",
        "table",
        features={"cover": folder / "covers.npy"},
        item_labels=folder / "books.csv",
        table=TableOptions(user_column="reader", item_column="book"),
        knowledge=KnowledgeOptions(rules=str(folder / "rules.yaml"), metadata=folder / "books.csv"),
    )
    dataset.save(folder / "data" / "books")


class Impatient(NoProgress):
    """Stops the training after the first epoch, as Ctrl-C would."""

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Interrupt."""
        raise KeyboardInterrupt


def stopped(folder: Path) -> None:
    """Planted data in data/mine, and a run of two epochs that was stopped in runs/stopped."""
    dataset = world().dataset
    dataset.save(folder / "data" / "mine")
    settings = resolve(preset("default"), ["training.epochs=2", "training.min_steps=1"])
    train_run(dataset, folder / "runs" / "stopped", settings, progress=Impatient())


def planted_data(folder: Path) -> None:
    """Planted data in data/planted, with the raw files in it."""
    save_planted(world(), folder / "data" / "planted")


def published(folder: Path) -> None:
    """Files in the layouts of published data sets, and the material for a graph of a shop in data/shop."""
    made = world()
    amazon(folder)
    movielens(folder)
    diffmm(made, folder / "raw" / "tiktok")
    lastfm(made, folder / "raw" / "lfm2k")
    recbole(made, folder / "raw" / "ml-100k")
    shutil.copy(folder / "raw" / "ml-100k" / "ml-100k.item", folder)
    shop(made, folder)


def fetched(folder: Path) -> None:
    """Files in the layouts of published data sets, and data/ml-100k as ``data fetch`` leaves it."""
    published(folder)
    source, made = folder / "raw" / "ml-100k", folder / "data" / "ml-100k"
    build(CATALOG["ml-100k"], source).save(made)
    (made / "raw").mkdir()
    shutil.copy(source / "ml-100k.item", made / "raw")


def made(folder: Path) -> None:
    """Planted data in data/planted, and as the quick start would have fetched it."""
    world().dataset.save(folder / "data" / "planted")
    world().dataset.save(folder / "quickstart" / "data")


def built(folder: Path) -> None:
    """Planted data in data/planted, and its graph in kg."""
    planted_data(folder)
    kg = world().dataset.kg
    assert kg is not None
    write_knowledge_graph(kg, folder / "kg")


def mentioned(folder: Path) -> None:
    """What lines in sentences speak of: planted data in data/planted, and a recipe that prunes."""
    planted_data(folder)
    library(folder)
    source = {"kind": "table", "path": "books.csv", "label": "title"}
    recipe = {"source": source, "rules": "rules.yaml", "prune": {"k_core": 10}}
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")


def plans(folder: Path) -> None:
    """Planted data, and the plan of docs/experiments.md with one seed and one epoch in plan.yaml."""
    planted_data(folder)
    page = (EXAMPLES.parent / "docs" / "experiments.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    text = text.replace("seeds: 5", "seeds: 1").replace("training.epochs=30", "training.epochs=1")
    (folder / "plan.yaml").write_text(text, encoding="utf-8")


WORKSPACES: dict[str, Callable[[Path], None]] = {
    "empty": empty,
    "library": library,
    "catalogue": catalogue,
    "books": books,
    "planted": planted_data,
    "plans": plans,
    "stopped": stopped,
    "published": published,
    "fetched": fetched,
    "built": built,
    "made": made,
    "mentioned": mentioned,
    # The same files, for a page whose blocks would write the same folders.
    "shop": published,
}
"""Name in the documentation -> what fills the folder."""


# --- the parts -----------------------------------------------------------------------------------


def world() -> Planted:
    return planted(PlantedConfig(n_users=120, n_items=110))


def amazon(folder: Path) -> None:
    """Amazon's metadata of 2023 under two names, without the broken line of the example."""
    example("10_amazon_and_movielens")["write_records"](folder)
    lines = (folder / "meta.jsonl").read_text(encoding="utf-8").splitlines()
    whole = [line for line in lines if line.endswith("}")]
    for name in ("meta_All_Beauty", "meta"):
        text = "\n".join(json.dumps(json.loads(line) | {"features": ["sturdy", "light"]}) for line in whole)
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def movielens(folder: Path) -> None:
    """The folder of a MovieLens release; the records are those of the same example."""
    (folder / "movies").rename(folder / "ml-latest-small")


def numbered(made: Planted) -> pl.DataFrame:
    """Return interactions by number, with the split as MMRec writes it."""
    label = pl.col("split").replace_strict(SPLITS, return_dtype=pl.Int64)
    return made.dataset.interactions.select(userID="user", itemID="item", x_label=label)


def diffmm(made: Planted, folder: Path) -> None:
    """Pickled matrices, as KDiffE and DiffMM publish them."""
    folder.mkdir(parents=True)
    for name, split in (("trnMat", "train"), ("valMat", "validation"), ("tstMat", "test")):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(made.dataset.matrix(split).tocoo()))
    for name, matrix in made.dataset.features.items():
        np.save(folder / f"{name}_feat.npy", matrix)


def lastfm(made: Planted, folder: Path) -> None:
    """The layout of MMRec with artists, tags, and a given graph."""
    folder.mkdir(parents=True)
    numbered(made).write_csv(folder / "lfm2k.inter", separator="\t")
    np.save(folder / "vggish.npy", made.dataset.features["image"])
    np.save(folder / "all-MiniLM-L6-v2.npy", made.dataset.features["text"])
    numbers = range(made.dataset.n_items)
    artists = "".join(f"{number}\tArtist {number}\thttp://a/{number}\tp\n" for number in numbers)
    tags = "".join(f"{number}\ttag {number % 3},tag {number % 5}\n" for number in numbers)
    (folder / "artists.dat").write_text(f"id\tname\turl\tpictureURL\n{artists}", encoding="utf-8")
    (folder / "lfm2k_text.tsv").write_text(f"artistID\ttext\n{tags}", encoding="utf-8")
    given_graph(folder / "kg.txt", folder / "item_index2entity_id.txt", [str(number) for number in numbers])


def given_graph(triples: Path, links: Path, items: list[str]) -> None:
    """Write a graph as tab-separated triples, and its map from item ids."""
    facts = "".join(f"m.{number}\tcomes_from\tm.place{number % 4}\n" for number in range(len(items)))
    triples.write_text(facts, encoding="utf-8")
    links.write_text("".join(f"{item}\tm.{number}\n" for number, item in enumerate(items)), encoding="utf-8")


def recbole(made: Planted, folder: Path) -> None:
    """Atomic files with titles, years, genres, a graph and its links."""
    folder.mkdir(parents=True)
    dataset = made.dataset
    rows = dataset.interactions.select(pl.col("user") + 1, pl.col("item") + 1).rows()
    text = {
        "inter": "user_id:token\titem_id:token\n" + "".join(f"{user}\t{item}\n" for user, item in rows),
        "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        + "".join(
            f"{n + 1}\tRiver Story {n}\t{1980 + n % 15}\t{('Drama', 'War', 'Drama War')[n % 3]}\n"
            for n in range(dataset.n_items)
        ),
        "kg": "head_id:token\trelation_id:token\ttail_id:token\n"
        + "".join(f"m.{n}\tmade_by\tm.d{n % 7}\n" for n in range(dataset.n_items)),
        "link": "item_id:token\tentity_id:token\n"
        + "".join(f"{n + 1}\tm.{n}\n" for n in range(dataset.n_items)),
    }
    for name, content in text.items():
        (folder / f"ml-100k.{name}").write_text(content, encoding="utf-8")


def shop(made: Planted, folder: Path) -> None:
    """Metadata, pictures, training interactions, and given graphs by id and by label, of data/shop."""
    save_planted(made, folder / "data" / "shop")
    raw = folder / "data" / "shop" / "raw"
    (folder / "items.jsonl.gz").write_bytes(gzip.compress((raw / "items.jsonl").read_bytes()))
    shutil.copytree(raw / "pictures", folder / "pictures")
    items = made.dataset.items
    items.select("id", "label").write_csv(folder / "items.csv")
    trained = pl.read_csv(raw / "interactions.csv").filter(pl.col("split") == "train")
    trained.select("user", "item").write_csv(folder / "train.csv")
    given_graph(folder / "kg.txt", folder / "item2entity.txt", items["id"].to_list())
    kind, label = "1999/02/22-rdf-syntax-ns#type", "2000/01/rdf-schema#label"
    statements = []
    for number, name in enumerate(items["label"]):
        thing = f"<http://www.wikidata.org/entity/Q{number + 1}>"
        maker = f"<http://www.wikidata.org/entity/Q{900 + number % 6}>"
        statements += [
            f"{thing} <http://www.w3.org/{kind}> <http://www.wikidata.org/entity/Q482994> .",
            f'{thing} <http://www.w3.org/{label}> "{name}"@en .',
            f"{thing} <http://www.wikidata.org/prop/direct/P175> {maker} .",
            f"{maker} <http://www.wikidata.org/prop/direct/P17> <http://www.wikidata.org/entity/Q30> .",
        ]
    (folder / "wikidata.nt.gz").write_bytes(gzip.compress("\n".join(statements).encode()))
