"""An explanation: nodes, edges and ranked paths that carry a recommendation; its forms for tools."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.figure import Figure

__all__ = ["Edge", "Explanation", "Node", "Path", "State"]

State = Literal["kept", "dropped", "proposed"]
# Characters that XML can't hold.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Node:
    """A user, an item or another entity.

    Parameters
    ----------
    key
        Unique in the explanation: ``user:3``, ``entity:17``; items are the first entities.
    role
        What it is here: ``user``, ``history``, ``proposed`` (an item that diffusion alone joins with the
        user), ``entity``, ``other user`` or ``item``.
    kind
        Kind of entity in the knowledge graph; ``user`` for users.
    id, label
        The original id, and the name for people.
    column
        Place from left to right: 0 is the user, the greatest the item.
    """

    key: str
    role: str
    kind: str
    id: str
    label: str
    column: int


@dataclass(frozen=True)
class Edge:
    """An interaction, a triple, or what diffusion proposes.

    Parameters
    ----------
    source, target
        Keys of the nodes, the one further left first.
    kind
        ``interaction``, ``knowledge`` or ``generated`` (user and item, joined by diffusion alone).
    relation
        Name of the relation; ``interacts``, or the modalities of a generated edge.
    label
        The relation for people.
    weight
        Attention: random-walk similarity of an interaction, relational attention α of a triple; null where
        the model gives it none.
    state
        What diffusion did with it; null: diffusion has no say in it.
    on_path
        Whether a ranked path runs over it; the others are facts that the item shares with the history.
    reads_to_source
        Whether the stored triple has the target as its head.
    """

    source: str
    target: str
    kind: Literal["interaction", "knowledge", "generated"]
    relation: str
    label: str
    weight: float | None
    state: State | None
    on_path: bool
    reads_to_source: bool = False


@dataclass(frozen=True)
class Path:
    """A way from the user to the item.

    Parameters
    ----------
    nodes
        Keys, from the user to the item.
    contribution
        What the score loses when the edges of the path go after those of the paths before it.
    alone
        What it loses when only they go.
    sentence
        The path in words.
    """

    nodes: tuple[str, ...]
    contribution: float
    alone: float
    sentence: str


@dataclass(frozen=True)
class Explanation:
    """Why a model gives a user an item.

    Parameters
    ----------
    user, item
        Whose explanation.
    score
        The model's score.
    nodes, edges
        The sub-graph.
    paths
        Best first; their contributions add up to what the score loses without all of them.
    n_paths
        How many paths connect the two within the hop limit.
    hops
        The hop limit.
    notes
        What was cut.
    run
        Facts of the run.
    relations
        Names of all relations of the data set, so that a relation has its colour in every picture.
    """

    user: Node
    item: Node
    score: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    paths: tuple[Path, ...]
    n_paths: int
    hops: int
    notes: tuple[str, ...] = ()
    run: Mapping[str, str] = field(default_factory=dict)
    relations: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The question that is answered."""
        user = self.user.label if self.user.label != self.user.id else f"user {self.user.id}"
        return f"Why {self.item.label} for {user}?"

    @property
    def sentences(self) -> list[str]:
        """A sentence for each path, best first."""
        return [path.sentence for path in self.paths]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            **asdict(self),
            "run": dict(self.run),
            "score_without_paths": self.score - sum(path.contribution for path in self.paths),
        }

    def to_json(self) -> str:
        """Return the explanation as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_networkx(self) -> nx.MultiDiGraph:
        """Return the sub-graph; attributes are those of :class:`Node` and :class:`Edge` that are not null."""
        import networkx as nx  # noqa: PLC0415

        graph = nx.MultiDiGraph(user=self.user.key, item=self.item.key, score=self.score)
        for node in self.nodes:
            graph.add_node(node.key, **_told(asdict(node), "key"))
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, **_told(asdict(edge), "source", "target"))
        return graph

    def to_graphml(self) -> bytes:
        """Return the sub-graph as GraphML; characters that XML can't hold become U+FFFD."""
        import networkx as nx  # noqa: PLC0415

        graph = self.to_networkx()
        attributes = [graph.graph, *(data for _, data in graph.nodes(data=True))]
        for data in (*attributes, *(data for *_, data in graph.edges(data=True))):
            for name, value in data.items():
                if isinstance(value, str):
                    data[name] = _NOT_XML.sub("\ufffd", value)
        buffer = io.BytesIO()
        nx.write_graphml_xml(graph, buffer)
        return buffer.getvalue()

    def draw(self) -> Figure:
        """Return the picture; see :func:`kdiffe_dgl.explain.picture.draw_explanation`."""
        from kdiffe_dgl.explain.picture import draw_explanation  # noqa: PLC0415

        return draw_explanation(self)

    def to_html(self) -> str:
        """Return an interactive page that needs nothing else; see :mod:`kdiffe_dgl.explain.page`."""
        from kdiffe_dgl.explain.page import explanation_page  # noqa: PLC0415

        return explanation_page(self)

    def _repr_html_(self) -> str:
        """Show sentences and picture in a notebook."""
        from kdiffe_dgl.explain.page import notebook_fragment  # noqa: PLC0415

        return notebook_fragment(self)


def _told(values: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and name not in without}
