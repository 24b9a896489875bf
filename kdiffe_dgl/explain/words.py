"""Sentences for paths."""

from __future__ import annotations

from collections.abc import Sequence

from kdiffe_dgl.explain.explanation import Edge, Node

__all__ = ["listed", "path_sentence"]


def listed(names: Sequence[str]) -> str:
    """Join names: ``A``, ``A and B``, ``A, B and C``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def path_sentence(nodes: Sequence[Node], steps: Sequence[Sequence[Edge]], alike: Sequence[Node]) -> str:
    """Say a path in words.

    Parameters
    ----------
    nodes
        From the user to the item.
    steps
        Edges between each two of them, several where several triples state the link.
    alike
        Other items of the user that have the last fact too.

    Returns
    -------
    str
        Such as ``Because you interacted with A and B, both tagged “trip-hop”, kept with weight 0.41.``
    """
    item = nodes[-1].label
    if len(nodes) == 2:
        if steps[0][0].kind == "interaction":
            return f"Because you interacted with {item} before{_walk(steps[0][0])}."
        return f"Because diffusion over {steps[0][0].relation} joins you with {item}."
    names = [nodes[1].label, *(node.label for node in alike)]
    if steps[0][0].kind == "interaction":
        begin = f"Because you interacted with {listed(names)}"
    else:
        begin = f"Because diffusion over {steps[0][0].relation} joins you with {listed(names)}"
    last = steps[-1][0]
    if nodes[2].role == "other user":
        person = _person(nodes[2])
        met = f"as did {person}" if steps[0][0].kind == "interaction" else f"which {person} interacted with"
        if steps[1][0].kind == "generated":
            met = f"which diffusion over {steps[1][0].relation} joins with {person}"
        also = f"who also interacted with {item}{_walk(last)}"
        if last.kind == "generated":
            also = f"whom diffusion over {last.relation} joins with {item}"
        return f"{begin}, {met}, {also}."
    if len(nodes) == 3:
        fact = f"joined with {item} by {'diffusion' if last.state == 'proposed' else _quoted(last.label)}"
    elif len(nodes) == 4 and _same_relation(steps[1], steps[2]):
        many = "both" if len(names) == 2 else "all" if len(names) > 2 else "also"
        fact = f"{many} {_as_attribute(last.label, nodes[2].kind)} {_quoted(nodes[2].label)}"
    else:
        facts = [
            f"{_quoted(node.label)} ({edges[0].label})"
            for node, edges in zip(nodes[2:-1], steps[1:-1], strict=True)
        ]
        fact = f"joined with {item} over {' and '.join(facts)}"
    return f"{begin}, {fact}, {_weighed(last)}."


def _same_relation(first: Sequence[Edge], second: Sequence[Edge]) -> bool:
    return first[0].relation == second[0].relation and second[0].state != "proposed"


def _as_attribute(label: str, kind: str) -> str:
    """Return a relation as it follows "both": "is tagged" becomes "tagged"; the kind itself, "of genre"."""
    if label.casefold() == kind.replace("_", " ").casefold():
        return f"of {label}"
    return label.removeprefix("is ")


def _weighed(edge: Edge) -> str:
    weight = "" if edge.weight is None else f" with weight {_brief(edge.weight)}"
    if edge.state is None:
        return f"attended to{weight}" if weight else "as the knowledge graph says"
    if edge.state == "dropped":
        return f"read{weight} though diffusion dropped it" if weight else "dropped by diffusion"
    return f"{edge.state}{weight}"


def _walk(edge: Edge) -> str:
    return "" if edge.weight is None else f" (walk similarity {_brief(edge.weight)})"


def _brief(weight: float) -> str:
    return f"{weight:.2g}" if weight >= 0.001 else "below 0.001"


def _person(node: Node) -> str:
    return f"user {node.label}" if node.label == node.id else node.label


def _quoted(label: str) -> str:
    return f"“{label}”"
