"""A planted data set: the reasons for every interaction are known, so methods can be checked against them.

Items have values of several relations. A user likes a few values of the *relevant* relations, and an
interaction is the likelier the more liked values the item has. The values of the *noise* relations change
nothing. Some interactions happen by chance, and some triples of the relevant relations are wrong. Which is
which is written beside the data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.split import split_interactions
from kdiffe_dgl.data.text import text_features
from kdiffe_dgl.errors import InputError
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["Planted", "PlantedConfig", "picture_features", "planted"]

_START = 1_600_000_000  # seconds since 1970: when the first interaction happens
_DAY = 86_400
_FILLERS = ("fine", "new", "best", "quiet", "bright", "small", "late", "first", "open", "long")


@dataclasses.dataclass(frozen=True)
class PlantedConfig:
    """How a planted data set is made.

    Parameters
    ----------
    seed
        Seeds every draw.
    n_users, n_items
        Sizes; a matrix of users by items is held in memory while drawing.
    interactions_per_user
        Mean number; each user has at least 5.
    relevant, noise_relations
        Names of the relations that cause interactions and of those that don't.
    n_values
        Values of each relation.
    values_per_item
        Values that an item has of each relation.
    likes
        Values of each relevant relation that a user likes.
    strength
        The odds of an item grow by ``exp(strength)`` with each liked value that it has.
    noise
        Share of interactions that happen by chance.
    false_triples
        Wrong triples added to each relevant relation, as a share of its true ones.
    picture_size
        Height and width of the pictures in pixels.
    """

    seed: int = 0
    n_users: int = 400
    n_items: int = 300
    interactions_per_user: float = 15.0
    relevant: tuple[str, ...] = ("genre", "maker")
    noise_relations: tuple[str, ...] = ("warehouse", "courier")
    n_values: int = 16
    values_per_item: int = 2
    likes: int = 2
    strength: float = 2.5
    noise: float = 0.1
    false_triples: float = 0.1
    picture_size: int = 16

    def __post_init__(self) -> None:
        bounds = {
            "n_users": (1, None),
            "n_items": (2, None),
            "interactions_per_user": (5, self.n_items),
            "values_per_item": (1, self.n_values),
            "likes": (1, self.n_values),
            "strength": (0, None),
            "noise": (0, 1),
            "false_triples": (0, 1),
            "picture_size": (4, 512),
        }
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if not np.isfinite(value) or value < low or (high is not None and value > high):
                most = "" if high is None else f" and at most {high}"
                raise InputError(f"planted data: {field} is {value}; expected at least {low}{most}")
        names = (*self.relevant, *self.noise_relations)
        if not self.relevant or len(set(names)) != len(names):
            raise InputError("planted data: relations need different names, at least one of them relevant")


@dataclasses.dataclass(frozen=True, eq=False)
class Planted:
    """A planted data set with its raw material and its truth.

    Parameters
    ----------
    dataset
        Interactions, knowledge graph and the modalities ``image`` and ``text``.
    config
        How it was made.
    metadata
        One row an item: ``id``, ``title``, ``description``, ``image`` (file name) and a list column
        for each relation, wrong values included.
    pictures
        uint8 ``[items, height, width, 3]``.
    triples
        Truth: ``head_id``, ``relation``, ``tail_id`` and ``relevant`` (it causes interactions).
    preferences
        Truth: ``user_id``, ``relation`` and ``tail_id``, the values that a user likes.
    causes
        Truth: ``user_id``, ``item_id``, ``by_chance`` and ``shared`` (liked values that the item has).
    """

    dataset: RecDataset
    config: PlantedConfig
    metadata: pl.DataFrame
    pictures: np.ndarray
    triples: pl.DataFrame
    preferences: pl.DataFrame
    causes: pl.DataFrame


def planted(config: PlantedConfig | None = None) -> Planted:
    """Make a planted data set; the same configuration gives the same data.

    A user's interactions by preference are drawn without replacement with odds
    ``exp(strength * shared)``, ``shared`` the number of liked values that the item has
    (by Gumbel keys, Kool et al. 2019, *Stochastic Beams and Where to Find Them*).

    Raises
    ------
    InputError
        If a parameter is out of its range.
    """
    config = config or PlantedConfig()
    rng = np.random.default_rng(config.seed)
    names = (*config.relevant, *config.noise_relations)
    has = {name: _draw_sets(rng, config.n_items, config.n_values, config.values_per_item) for name in names}
    likes = {name: _draw_sets(rng, config.n_users, config.n_values, config.likes) for name in config.relevant}
    shared = sum(likes[name].astype(np.float32) @ has[name].T.astype(np.float32) for name in config.relevant)
    wrong = {name: _wrong_values(rng, has[name], config) for name in config.relevant}
    user, item, by_chance = _draw_interactions(rng, np.asarray(shared), config)
    users = _named("u", config.n_users, "user", "User")
    items = _named("i", config.n_items, "item", "Thing")
    triples = _triples(items["id"], has, wrong, config)
    metadata = _metadata(rng, items, triples, names)
    pictures = _pictures(rng, has[config.relevant[0]], config)
    time = _START + rng.integers(0, 365 * _DAY, len(user))
    interactions = split_interactions(
        pl.DataFrame({"user": user, "item": item, "timestamp": time}), "ratio", config.seed
    )
    dataset = RecDataset(
        "planted",
        users,
        items,
        interactions,
        _graph(items, triples),
        {
            "image": picture_features(pictures),
            "text": text_features(metadata["description"].to_list(), 32, config.seed),
        },
        {"reader": "planted", "config": dataclasses.asdict(config)},
    )
    return Planted(
        dataset,
        config,
        metadata,
        pictures,
        triples,
        _preferences(users["id"], likes),
        pl.DataFrame(
            {
                "user_id": users["id"].gather(user),
                "item_id": items["id"].gather(item),
                "by_chance": by_chance,
                "shared": np.asarray(shared)[user, item].astype(np.int64),
            }
        ),
    )


def picture_features(pictures: np.ndarray, grid: int = 4) -> np.ndarray:
    """Return colour statistics: mean and deviation of each channel, and the means of a grid of tiles.

    Parameters
    ----------
    pictures
        uint8 ``[items, height, width, channels]``, height and width at least ``grid``.
    grid
        Tiles in each direction.

    Returns
    -------
    numpy.ndarray
        float32 ``[items, channels * (2 + grid * grid)]``, from 0 to 1.
    """
    scaled = pictures.astype(np.float32) / 255.0
    n_items, height, width, channels = scaled.shape
    rows, columns = height // grid, width // grid
    tiles = scaled[:, : rows * grid, : columns * grid].reshape(n_items, grid, rows, grid, columns, channels)
    parts = [scaled.mean(axis=(1, 2)), scaled.std(axis=(1, 2)), tiles.mean(axis=(2, 4)).reshape(n_items, -1)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _draw_sets(rng: np.random.Generator, n_rows: int, n_values: int, size: int) -> np.ndarray:
    """Draw ``size`` different values for each row: boolean ``[rows, values]``."""
    chosen = np.argsort(rng.random((n_rows, n_values)), axis=1)[:, :size]
    member = np.zeros((n_rows, n_values), dtype=bool)
    np.put_along_axis(member, chosen, True, axis=1)
    return member


def _wrong_values(rng: np.random.Generator, has: np.ndarray, config: PlantedConfig) -> np.ndarray:
    """Draw values that items don't have: boolean ``[items, values]``."""
    count = min(round(config.false_triples * has.sum()), int((~has).sum()))
    wrong = np.zeros(has.size, dtype=bool)
    wrong[rng.choice(np.flatnonzero(~has.ravel()), count, replace=False)] = True
    return wrong.reshape(has.shape)


def _draw_interactions(
    rng: np.random.Generator, shared: np.ndarray, config: PlantedConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw each user's items; returns users, items and whether each came by chance."""
    n_users, n_items = shared.shape
    count = np.minimum(5 + rng.poisson(config.interactions_per_user - 5, n_users), n_items)
    n_chance = np.asarray(rng.binomial(count, config.noise))
    by_preference = _top(config.strength * shared + rng.gumbel(size=shared.shape), count - n_chance)
    chance = _top(np.where(by_preference, -np.inf, rng.random(shared.shape)), n_chance)
    user, item = np.nonzero(by_preference | chance)
    return user, item, chance[user, item]


def _top(keys: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mark the ``count[row]`` largest keys of each row."""
    order = np.argsort(-keys, axis=1, kind="stable")
    marked = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(marked, order, np.arange(keys.shape[1])[None, :] < count[:, None], axis=1)
    return marked


def _named(prefix: str, count: int, key: str, label: str) -> pl.DataFrame:
    digits = len(str(count - 1))
    number = pl.col(key).cast(pl.Utf8).str.zfill(digits)
    return pl.DataFrame({key: np.arange(count)}).with_columns(
        pl.format(prefix + "{}", number).alias("id"), pl.format(label + " {}", number).alias("label")
    )


def _pairs(ids: pl.Series, relation: str, member: np.ndarray) -> pl.DataFrame:
    row, value = np.nonzero(member)
    return pl.DataFrame({"id": ids.gather(row), "value": value}).select(
        "id", pl.lit(relation).alias("relation"), pl.format(relation + " {}", "value").alias("tail_id")
    )


def _triples(
    ids: pl.Series, has: dict[str, np.ndarray], wrong: dict[str, np.ndarray], config: PlantedConfig
) -> pl.DataFrame:
    parts = [
        _pairs(ids, name, member).with_columns(pl.lit(name in config.relevant).alias("relevant"))
        for name, member in has.items()
    ]
    parts += [
        _pairs(ids, name, member).with_columns(pl.lit(False).alias("relevant"))
        for name, member in wrong.items()
    ]
    return pl.concat(parts).rename({"id": "head_id"}).sort("head_id", "relation", "tail_id")


def _preferences(ids: pl.Series, likes: dict[str, np.ndarray]) -> pl.DataFrame:
    return pl.concat([_pairs(ids, name, member) for name, member in likes.items()]).rename({"id": "user_id"})


def _metadata(
    rng: np.random.Generator, items: pl.DataFrame, triples: pl.DataFrame, names: Sequence[str]
) -> pl.DataFrame:
    """Lay the triples out as a catalogue; the description names the values among filler words."""
    values = triples.group_by("head_id", "relation").agg(pl.col("tail_id").sort())
    wide = values.pivot(on="relation", index="head_id", values="tail_id").rename({"head_id": "id"})
    fillers = np.array(_FILLERS)[rng.integers(0, len(_FILLERS), (len(items), 3))]
    words = pl.concat_list(pl.col(name).list.eval(pl.element().str.replace(" ", "")) for name in names)
    return (
        items.select("id", title="label")
        .with_columns(pl.Series("filler", fillers.tolist(), dtype=pl.List(pl.Utf8)))
        .join(wide, on="id", how="left", maintain_order="left")
        .with_columns(
            pl.concat_list("filler", words).list.join(" ").alias("description"),
            pl.format("pictures/{}.png", "id").alias("image"),
        )
        .select("id", "title", "description", "image", *names)
    )


def _pictures(rng: np.random.Generator, has: np.ndarray, config: PlantedConfig) -> np.ndarray:
    """Paint each item's values of one relation as vertical bands in the colour of the value, with grain."""
    colours = rng.uniform(30, 225, (config.n_values, 3))
    values = np.nonzero(has)[1].reshape(config.n_items, config.values_per_item)
    band = np.arange(config.picture_size) * config.values_per_item // config.picture_size
    painted = colours[values[:, band]][:, None, :, :]
    shape = (config.n_items, config.picture_size, config.picture_size, 3)
    return np.clip(painted + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)


def _graph(items: pl.DataFrame, triples: pl.DataFrame) -> KnowledgeGraph:
    named = triples.select(
        pl.lit(ITEM).alias("head_kind"),
        "head_id",
        "relation",
        pl.col("relation").alias("tail_kind"),
        "tail_id",
        pl.col("tail_id").alias("tail_label"),
        pl.format("items.jsonl:{}", "relation").alias("source"),
    )
    return KnowledgeGraph.from_named(named, items.select("id", "label"))
