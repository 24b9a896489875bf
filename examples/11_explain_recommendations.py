"""Explain recommendations: the paths that carry a score, as sentences, a picture, a page, and a graph.

The paths between a user and a recommended item are ranked by what the score loses when their edges are
deleted from the graphs. In planted data it is known why users chose: for the genres and makers that they
like, and never for a warehouse or a courier. So the facts that explanations name can be checked.

Writes ``why.png``, ``why.html`` (interactive, needs no network), ``why.graphml``, ``facts.png`` (paths over
facts alone, where there are any) and ``named.csv``. Takes about half a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from kdiffe_dgl.api import Run
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.explain import Explanation

USER = "u012"


def main() -> None:
    """Train on planted data, explain one recommendation in every form, and check many against the truth."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-11"), help="folder for the results")
    parser.add_argument("--user", default=USER, help="whose recommendation to draw")
    parser.add_argument("--users", type=int, default=40, help="how many are checked against the truth")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()

    world = planted(PlantedConfig(n_users=300, n_items=200))
    run = Run.train(
        world.dataset, options.output / "run", overrides=[f"training.epochs={options.epochs}"],
        device="cpu", overwrite=True,
    )  # fmt: skip

    why = run.explain(options.user)
    why.draw().savefig(options.output / "why.png", dpi=130)
    (options.output / "why.html").write_text(why.to_html(), encoding="utf-8")
    (options.output / "why.graphml").write_bytes(why.to_graphml())
    print(why.title, *why.sentences, *why.notes, sep="\n")

    users = world.dataset.users["id"].head(options.users).to_list()
    by_facts = {user: over_facts(run, user) for user in dict.fromkeys([options.user, *users])}
    drawn = by_facts[options.user]
    if drawn is not None:
        drawn.draw().savefig(options.output / "facts.png", dpi=130)
    relevant = set(world.triples.filter("relevant")["relation"])
    found = {user: why for user in users if (why := by_facts[user]) is not None}
    print(f"facts join {len(found)} of {len(users)} users with an item of their list")
    if not found:
        print("no fact can be checked against the truth: train for more epochs, or look at more users")
        return
    named = pl.concat([named_facts(why, user) for user, why in found.items()])
    named = named.with_columns(reason=pl.col("relation").is_in(list(relevant)))
    named.write_csv(options.output / "named.csv")
    shares = named.filter("on_path")["reason"].mean(), world.triples["relevant"].mean()
    for name, share in zip(("facts on the best paths", "all facts of the graph"), shares, strict=True):
        print(f"reasons for users' choices, {name}: {share:.2f}")
    print(f"written to {options.output}")


def over_facts(run: Run, user: str, k: int = 10) -> Explanation | None:
    """Explain the first item of a user's list that facts alone join with the history; None: there is none."""
    for item in run.recommend([user], k=k)["item"]:
        try:
            return run.explain(user, item, facts_only=True)
        except InputError:  # diffusion dropped the facts that they share, or they share none
            continue
    return None


def named_facts(explanation: Explanation, user: str) -> pl.DataFrame:
    """Return the facts of the item that an explanation shows, and whether one of its paths runs over them."""
    edges = [edge for edge in explanation.edges if edge.target == explanation.item.key]
    labels = {node.key: node.label for node in explanation.nodes}
    rows = [
        (user, explanation.item.id, edge.relation, labels[edge.source], edge.weight, edge.on_path)
        for edge in edges
        if edge.kind == "knowledge"
    ]
    return pl.DataFrame(rows, schema=["user", "item", "relation", "fact", "weight", "on_path"], orient="row")


if __name__ == "__main__":
    main()
