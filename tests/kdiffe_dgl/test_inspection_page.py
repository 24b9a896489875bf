"""Map, lists, figures and page of an inspection, whatever the labels are and whatever the run lacks."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.inspection import Inspection, InspectionOptions
from kdiffe_dgl.inspection.canvas import Names
from kdiffe_dgl.inspection.maps import choose_colouring, embedding_map
from kdiffe_dgl.serving.recommender import Recommender
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

SMALL = ["model.dim=8", "training.epochs=1", "training.batch_size=16"]
HOSTILE = [
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "costs $5 or $x^2_{\\frac$",
    "שלום \u202ealert & \"quotes\" 'too'",
    "\u0007bell \U0001f3b5 中文",
    "a very long label that goes on and on until nobody would want to read it in any picture " * 3,
]
KDIFFE_FIGURES = ["relations", "entities", "degrees", "attention", "parts", "training", "diffusion", "map"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inspections")


@pytest.fixture(scope="module")
def hostile(folder: Path, tiny_dataset: Any) -> Inspection:
    """A run whose users, items, entities and relations have labels that mean harm."""
    kg = tiny_dataset.kg
    labels = [HOSTILE[n % len(HOSTILE)] + f" {n}" for n in range(kg.n_entities)]
    dataset = tiny_dataset.replace(
        name="<b>$bold$</b>",
        items=tiny_dataset.items.with_columns(label=pl.Series(labels[: tiny_dataset.n_items])),
        users=tiny_dataset.users.with_columns(label=pl.lit(HOSTILE[0])),
        kg=dataclasses.replace(
            kg,
            entities=kg.entities.with_columns(label=pl.Series(labels)),
            relations=kg.relations.with_columns(label=pl.lit("<i>$has$</i> ") + pl.col("name")),
        ),
    )
    train_run(
        dataset, folder / "hostile", resolve({}, [*SMALL, "model.knowledge.candidates=[two_hop]"]), seed=1
    )
    return Inspection.load(folder / "hostile", dataset, InspectionOptions(colour_by="genre"))


@pytest.fixture(scope="module")
def figures(hostile: Inspection) -> dict[str, Figure]:
    found = hostile.figures()
    for figure in found.values():
        figure.draw_without_rendering()
    return found


@pytest.fixture(scope="module")
def page(hostile: Inspection) -> str:
    return hostile.to_html()


@pytest.fixture(scope="module")
def other(folder: Path, tiny_dataset: Any) -> Inspection:
    settings = resolve({"model": {"name": "lightgcn"}}, SMALL)
    train_run(tiny_dataset, folder / "other", settings, seed=1)
    return Inspection.load(folder / "other", tiny_dataset)


# --- the map -------------------------------------------------------------------------------------


def test_map_is_the_principal_components(other: Inspection) -> None:
    found = other.map
    assert found is not None
    rows = other.representations[1].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(rows - rows.mean(axis=0))
    expected = left[:, :2] * values[:2]
    places = found.points.select("x", "y").to_numpy()
    for axis in (0, 1):
        sign = np.sign(places[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(places[:, axis], sign * expected[:, axis], atol=1e-9)
    np.testing.assert_allclose(found.explained, values[:2] ** 2 / (values**2).sum())


def test_map_by_tsne_is_bounded_and_repeats_itself(other: Inspection) -> None:
    options = InspectionOptions(projection="tsne", most_points=12, seed=3)
    first, second = (Inspection(other.run, other.dataset, options) for _ in range(2))
    assert first.map is not None
    assert second.map is not None
    assert len(first.map.points) == 12
    assert first.map.points.equals(second.map.points)
    assert np.isfinite(first.map.points.select("x", "y").to_numpy()).all()
    assert "The map has 12 items, drawn at random from 18." in first.notes
    assert first.draw("map").axes


def test_map_of_next_to_nothing(tiny_dataset: Any) -> None:
    colouring = choose_colouring(tiny_dataset, None)
    for rows in (np.zeros((18, 4)), np.ones((18, 1)), np.ones((18, 4))):
        found = embedding_map(rows, tiny_dataset, colouring, "pca", 100, 0)
        assert found is not None
        assert np.isfinite(found.points.select("x", "y").to_numpy()).all()
    assert embedding_map(np.ones((2, 4)), tiny_dataset, colouring, "pca", 100, 0) is None


def test_colours_of_a_relation_are_its_values(tiny_dataset: Any) -> None:
    found = choose_colouring(tiny_dataset, "genre")
    assert found.values.to_list() == [f"g{item % 3}" for item in range(18)]
    assert set(found.shown) == {"g0", "g1", "g2"}
    # Three even genres tell more than four uneven colours only if these are very uneven.
    counts = {
        name: choose_colouring(tiny_dataset, name).values.value_counts()["count"].to_numpy()
        for name in ("genre", "colour", "similar to")
    }
    entropy = {name: -sum(n / 18 * np.log(n / 18) for n in table) for name, table in counts.items()}
    for name in ("genre", "colour"):
        assert entropy[name] > 0
    chosen = choose_colouring(tiny_dataset, None)
    without_other = {
        name: -sum(
            n / 18 * np.log(n / 18)
            for value, n in choose_colouring(tiny_dataset, name).values.value_counts().iter_rows()
            if value not in ("other", "none")
        )
        for name in counts
    }
    assert chosen.name == max(without_other, key=without_other.__getitem__)


def test_an_item_of_several_values_has_the_rarest(tiny_dataset: Any) -> None:
    found = choose_colouring(tiny_dataset, "similar")
    near: dict[int, set[int]] = {item: set() for item in range(18)}
    for item in range(18):
        near[item].add((item + 3) % 18)
        near[(item + 3) % 18].add(item)
    frequency = {item: sum(item in others for others in near.values()) for item in near}
    shown = sorted(frequency, key=lambda item: (-frequency[item], item))[:8]
    for item, value in enumerate(found.values):
        own = sorted((frequency[one], one) for one in near[item] if one in shown)
        assert value == (f"Item {own[0][1]}" if own else "other")
    assert "the 8 most frequent of 18 values" in found.rule


def test_colour_by_an_entity(tiny_dataset: Any) -> None:
    for wanted in ("g1", "genre:g1"):
        found = choose_colouring(tiny_dataset, wanted)
        assert found.values.to_list() == ["g1" if item % 3 == 1 else "none" for item in range(18)]
        assert found.rule == "6 items have it as a fact."
    with pytest.raises(InputError, match=r"colour by 'gener': no relation .* the nearest are 'genre'"):
        choose_colouring(tiny_dataset, "gener")
    kg = tiny_dataset.kg
    twins = kg.entities.with_columns(
        label=pl.when(pl.col("id").is_in(["g1", "c1"])).then(pl.lit("twin")).otherwise(pl.col("label"))
    )
    twice = tiny_dataset.replace(kg=dataclasses.replace(kg, entities=twins))
    with pytest.raises(
        InputError, match=r"2 entities are called so; expected one of 'colour:c1', 'genre:g1'"
    ):
        choose_colouring(twice, "twin")
    bare = tiny_dataset.replace(kg=None)
    with pytest.raises(InputError, match="has no knowledge graph"):
        choose_colouring(bare, "genre")
    counts = np.bincount(tiny_dataset.pairs("train")[:, 1], minlength=18)
    assert choose_colouring(bare, None).values.to_list() == counts.tolist()


# --- lists ---------------------------------------------------------------------------------------


def test_lists_are_those_of_the_recommender(other: Inspection, tiny_dataset: Any) -> None:
    options = InspectionOptions(users=("u4", "u7", "u4"), k=5)
    found = Inspection(other.run, tiny_dataset, options).lists
    assert [one.id for one in found] == ["u4", "u7"]
    expected = Recommender.load(other.run.path).recommend(["u4", "u7"], 5)
    counts = np.bincount(tiny_dataset.pairs("train")[:, 1], minlength=18)
    for one, user in zip(found, (4, 7), strict=True):
        own = expected.filter(pl.col("user") == one.id)
        assert one.recommended["item"].to_list() == own["item"].to_list()
        assert one.recommended["score"].to_list() == own["score"].to_list()
        tested = {item for owner, item in tiny_dataset.pairs("test").tolist() if owner == user}
        flags = dict(one.recommended.select("number", "in_test").iter_rows())
        assert flags == {number: number in tested for number in flags}
        met = [item for owner, item in tiny_dataset.pairs("train").tolist() if owner == user]
        assert one.history["number"].to_list() == sorted(met, key=lambda item: (counts[item], item))
        assert one.n_history == len(met)
    # All users have met equally many; whoever met nothing is not chosen.
    assert len(other.lists) == 3
    assert "u23" not in {one.id for one in other.lists}
    with pytest.raises(InputError, match=r"inspect: unknown user 'u44'; the nearest ids are .*'u4'"):
        Inspection(other.run, tiny_dataset, InspectionOptions(users=("u44",)))
    cold = Inspection(other.run, tiny_dataset, InspectionOptions(users=("u23",)))
    page = cold.to_html()
    assert "Met nothing in training." in page
    assert "popular: no training items" in page


def test_pictures_lie_in_the_page(other: Inspection, tiny_dataset: Any, tmp_path: Path) -> None:
    from PIL import Image

    for item in range(17):
        Image.new("RGB", (300, 200), (10 * item, 0, 0)).save(tmp_path / f"i{item}.png")
    shown = Inspection(other.run, tiny_dataset, InspectionOptions(pictures=tmp_path))
    page = shown.to_html()
    wanted = [row["number"] for one in shown.lists for row in one.recommended.to_dicts()]
    wanted += [row["number"] for one in shown.lists for row in one.history.to_dicts()]
    assert page.count("<img") == page.count('src="data:image/jpeg;base64,') == sum(n < 17 for n in wanted)
    (tmp_path / f"i{wanted[0]}.png").write_text("no picture")
    broken = Inspection(other.run, tiny_dataset, InspectionOptions(pictures=tmp_path))
    assert any("1 of the pictures can't be read" in note for note in broken.notes)
    with pytest.raises(InputError, match="expected a folder of files named by item ids"):
        Inspection(other.run, tiny_dataset, InspectionOptions(pictures=tmp_path / "none")).to_html()


# --- figures and page ----------------------------------------------------------------------------


def test_figures_take_labels_literally(hostile: Inspection, figures: dict[str, Figure]) -> None:
    assert list(figures) == KDIFFE_FIGURES
    from matplotlib import pyplot

    assert not pyplot.get_fignums()
    dollars = 0
    for name, figure in figures.items():
        for text in figure.findobj(Text):
            if "$" in text.get_text() and "mathdefault" not in text.get_text():
                dollars += 1
                assert not text.get_parse_math(), name
    assert dollars > 3
    with pytest.raises(InputError, match="the run has no figure 'degree'; expected one of relations"):
        hostile.draw("degree")


def test_names_stand_in_the_frame_of_the_figure(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        box = figure.get_tightbbox()
        assert box.x0 >= -0.02, name
        assert box.x1 <= figure.get_size_inches()[0] + 0.02, name


def tags_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    tags: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.feed(page)
    return tags


def test_page_runs_nothing_and_asks_for_nothing(page: str) -> None:
    tags = tags_of(page)
    assert not {tag for tag, _ in tags} & {"script", "img", "i", "iframe", "link", "object"}
    # The only bold texts are the page's own.
    assert [tag for tag, _ in tags].count("b") == page.count('<div class="tile">')
    for tag, attributes in tags:
        assert not {name for name in attributes if name.startswith("on") or name == "src"}
        for name in ("href", "xlink:href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:image/png;base64,")), tag
    assert "default-src 'none'" in page
    assert "@import" not in page
    text = unescape(page)
    assert "Inside kdiffe on <b>$bold$</b>" in text
    assert HOSTILE[2] in text
    assert "\u202e" not in page
    assert "\u0007" not in page


def test_notebook_shows_every_figure(other: Inspection) -> None:
    fragment = other._repr_html_()
    assert fragment.count("<img") == fragment.count('src="data:image/png;base64,') == 2
    assert "script" not in {tag for tag, _ in tags_of(fragment)}


def test_json_holds_the_tables(hostile: Inspection) -> None:
    told = json.loads(hostile.to_json())
    assert hostile.relations is not None
    assert told["relations"] == hostile.relations.to_dicts()
    assert len(told["map"]["points"]) == 18
    assert [one["user"] for one in told["lists"]] == [one.id for one in hostile.lists]
    assert sum(told["degrees"]["items"]["after"]["counts"]) == 18
    assert hostile.attention is not None
    assert sum(row["nodes"] for row in told["attention"]) == len(hostile.attention)


def test_what_is_not_there_is_said(other: Inspection, folder: Path, tiny_dataset: Any) -> None:
    assert list(other.figures()) == ["training", "map"]
    assert "can be looked into in runs of kdiffe" in other.notes[0]
    assert other.relations is other.parts is other.attention is other.interactions is None
    bare = tiny_dataset.replace(kg=None, features={})
    train_run(bare, folder / "bare", resolve({}, [*SMALL, "model.attention.epsilon=0"]), seed=1)
    found = Inspection.load(folder / "bare", bare)
    notes = " ".join(found.notes)
    for words in ("has no knowledge graph", "has no random walks", "has no features"):
        assert words in notes
    assert list(found.figures()) == ["parts", "training", "map"]
    (folder / "bare" / "graphs.safetensors").unlink()
    old = Inspection.load(folder / "bare", bare)
    assert "The run keeps no graphs.safetensors" in old.notes[0]
    page = old.to_html()
    assert all(part in page for part in ("Training", "Map of the items", "Recommendations"))
    for one in (other, found, old):
        assert json.loads(one.to_json())["relations"] is None


def test_options_are_checked() -> None:
    for settings, told in (({"k": 0}, "k is 0"), ({"most_points": 2}, "at least 3"), ({"seed": -1}, "seed")):
        with pytest.raises(InputError, match=told):
            InspectionOptions(**settings)
    with pytest.raises(InputError, match="expected pca or tsne"):
        InspectionOptions(projection="umap")  # type: ignore[arg-type]


def test_page_in_a_browser(page: str, tmp_path: Path) -> None:
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no headless browser here")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    address, profile = (tmp_path / "page.html").as_uri(), f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [browser, *options, profile, "--dump-dom", address],
        capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.count("<figure") == len(KDIFFE_FIGURES)
    assert done.stdout.count("<svg") == len(KDIFFE_FIGURES)
    assert "<title>Inside kdiffe on &lt;b&gt;$bold$&lt;/b&gt;</title>" in done.stdout
    assert "CONSOLE" not in done.stderr


def test_a_seed_beyond_what_scikit_learn_takes_is_refused() -> None:
    with pytest.raises(InputError, match="seed is 4294967296"):
        InspectionOptions(seed=2**32)


def test_names_that_are_cut_to_the_same_stay_apart() -> None:
    long = "Directed by somebody with a name that goes on and on, the "
    texts = ["short", f"{long}elder", f"{long}younger", f"{long}third"]
    told = Names(texts).distinct(texts, "value", 26)
    assert told[0] == "short"
    assert len(set(told)) == 4
    assert all(len(name) <= 26 for name in told)
    assert [name[-4:] for name in told[2:]] == [" (2)", " (3)"]
