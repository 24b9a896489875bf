"""Colours of an explanation: a relation keeps its own in all pictures, and shares it with none."""

from __future__ import annotations

from kdiffe_dgl.explain.explanation import Explanation
from kg_builders.reporting.picture import PALETTE, PAPER, QUIET

__all__ = [
    "FAINT",
    "GENERATED",
    "INTERACTION",
    "PROPOSED",
    "RELATIONS",
    "colours_of",
    "relation_colour",
    "tint",
]

INTERACTION, GENERATED, PROPOSED = "#7d8790", "#a0522d", "#6f42c1"
# Grey is the colour of interactions here.
RELATIONS = (*PALETTE[:-1], "#c51b7d", "#01665e", "#2b3a8f", "#8fce4a", "#7b1e3a", "#32c3b4", "#b39ddb")
"""Colours of relations, those that differ most first."""
FAINT = 0.4
"""Share of its colour that a line has which no path runs over."""


def relation_colour(place: int | None) -> str:
    """Return the colour of a relation by its place among those of the data set; null: diffusion's own."""
    return PROPOSED if place is None else RELATIONS[place % len(RELATIONS)]


def colours_of(explanation: Explanation) -> dict[tuple[str, str], tuple[str, str]]:
    """Return colour and name of each relation of an explanation: (kind, relation) -> (colour, name).

    A relation has the colour of its place among the relations of the data set. Where two relations of one
    picture would have the same, since the data set has more relations than there are colours, the later one
    takes a free colour; once there is none, relations without a colour of their own are drawn in grey.
    """
    names: dict[tuple[str, str], str] = {}
    for edge in explanation.edges:
        names.setdefault((edge.kind, edge.relation), edge.label)
    place = {relation: number for number, relation in enumerate(explanation.relations)}
    present = sorted((place[name], name) for kind, name in names if kind == "knowledge" and name in place)
    taken: dict[str, str] = {}
    homeless = []
    for number, name in present:
        home = relation_colour(number)
        if home in taken.values():
            homeless.append(name)
        else:
            taken[name] = home
    free = [colour for colour in RELATIONS if colour not in taken.values()]
    taken |= dict(zip(homeless, free, strict=False))
    own = {"interaction": INTERACTION, "generated": GENERATED}
    order = {key: at for at, key in enumerate(("interaction", "knowledge", "generated"))}
    colours = {}
    for kind, relation in sorted(names, key=lambda key: (order[key[0]], place.get(key[1], len(place)))):
        if kind == "knowledge":
            colour = taken.get(relation, QUIET) if relation in place else relation_colour(None)
        else:
            colour = own[kind]
        colours[kind, relation] = colour, names[kind, relation]
    return colours


def tint(colour: str, share: float) -> str:
    """Return a colour mixed with that of the paper: faint, but not transparent, so that nothing adds up."""
    parts = zip(bytes.fromhex(colour[1:]), bytes.fromhex(PAPER[1:]), strict=True)
    return "#" + bytes(round(share * own + (1 - share) * paper) for own, paper in parts).hex()
