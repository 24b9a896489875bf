"""Encodings of items where some links weigh less: only the entities that this changes are computed again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.explain.edges import Links
from kdiffe_dgl.models.knowledge import RelationalAttention

__all__ = ["LinkEncoder"]


class LinkEncoder:
    r"""Relational attention with one weight w for each link.

    The weight of a tail is :math:`\alpha = w e^l / \sum w e^l` over the tails of its head, l the logits of
    :func:`kdiffe_dgl.models.knowledge.attention_weights`: with weights of 1 this is the model's encoder,
    and a link of weight 0 is one that the graph lacks.

    Parameters
    ----------
    encoder
        The model's.
    links
        The knowledge graph.
    entities
        Embeddings, ``[entities, dim]``.
    n_items
        How many of the entities are items.

    Attributes
    ----------
    layers
        Number L of layers.
    attention
        α of each directed edge: its mean over the layers, of which layer l weighs
        :math:`\lambda_{res}^{L - l}`, its share in the sum of layers; float64 ``[edges]``.
    """

    def __init__(self, encoder: RelationalAttention, links: Links, entities: Tensor, n_items: int) -> None:
        self.links, self.n_items = links, n_items
        self._residual, self._normalise = encoder.residual, encoder.normalise
        self._relations, self._weight = (
            encoder.relations.detach().cpu().double(),
            encoder.weight.detach().cpu().double(),
        )
        nobody, everyone = torch.empty(0, dtype=torch.int64), torch.arange(len(entities))
        layer = total = entities.detach().double()
        self._layers, self._totals = [layer], [total]
        self.attention = torch.zeros(len(links.head), dtype=torch.float64)
        self.layers, shares = encoder.layers, 0.0
        for number in range(encoder.layers):
            unchanged = _Rows(nobody, layer[:0])
            layer, weights = self._layer(everyone, layer, unchanged, nobody, layer[:0, 0])
            share = self._residual ** (encoder.layers - 1 - number)
            self.attention += share * weights
            shares += share
            total = self._residual * total + layer
            self._layers.append(layer)
            self._totals.append(total)
        self.attention /= max(shares, 1.0)

    @property
    def items(self) -> Tensor:
        """Encodings with all links, ``[items, dim]``."""
        return self._totals[-1][: self.n_items]

    def read_by(self, items: Tensor) -> list[Tensor]:
        """Return which entities of each layer some items depend on, for :meth:`changed`.

        Parameters
        ----------
        items
            int64, ascending.

        Returns
        -------
        list of Tensor
            For each layer, bool ``[entities]``.
        """
        mask = torch.zeros(self.links.n_entities, dtype=torch.bool)
        mask[items] = True
        masks = [mask]
        for _ in range(len(self._layers) - 2):
            mask = mask.clone()
            mask[self.links.tail[mask[self.links.head]]] = True
            masks.append(mask)
        return masks[::-1]

    def changed(
        self, links: npt.NDArray[np.int64], weights: Tensor, read: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Encode the items that change where some links have other weights than 1.

        Parameters
        ----------
        links
            Which links, ascending, int64 ``[k]``.
        weights
            Their weights, float64 ``[k]``; the result can be differentiated by them.
        read
            Which items are wanted, from :meth:`read_by`.

        Returns
        -------
        tuple of Tensor
            The items, int64 ``[rows]``, and their encodings, ``[rows, dim]``.
        """
        chosen = torch.from_numpy(links)
        first, second = self.links.first[links], self.links.second[links]
        ends = torch.from_numpy(np.unique(np.concatenate([first, second])))
        layer_rows = total_rows = _Rows(ends[:0], self._layers[0][:0])
        for number in range(1, len(self._layers)):
            heads = ends
            if len(layer_rows.rows):
                is_changed = torch.zeros(self.links.n_entities, dtype=torch.bool)
                is_changed[layer_rows.rows] = True
                touched = self.links.head[is_changed[self.links.tail]]
                heads = torch.cat([ends, layer_rows.rows, touched]).unique()
            heads = heads[read[number - 1][heads]]
            before = self._layers[number - 1]
            layer, _ = self._layer(heads, before, layer_rows, chosen, weights)
            total = self._residual * total_rows.look_up(self._totals[number - 1], heads) + layer
            layer_rows, total_rows = _Rows(heads, layer), _Rows(heads, total)
        return total_rows.rows, total_rows.values

    def _layer(
        self, heads: Tensor, base: Tensor, changed: _Rows, chosen: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return a layer at some heads, ``[heads, dim]``, and the attention of their edges."""
        starts = self.links.starts
        counts = starts[heads + 1] - starts[heads]
        owner = torch.repeat_interleave(torch.arange(len(heads)), counts)
        edges = torch.arange(len(owner)) + (starts[heads] - counts.cumsum(0) + counts)[owner]
        tails, position = self.links.tail[edges].unique(return_inverse=True)
        own, other = changed.look_up(base, heads), changed.look_up(base, tails)
        dim, relation = base.shape[1], self.links.relation[edges]
        of_head = own @ self._weight[:dim] @ self._relations.t()
        of_tail = other @ self._weight[dim:] @ self._relations.t()
        logits = functional.leaky_relu(of_head[owner, relation] + of_tail[position, relation], 0.2)
        greatest = logits.new_full((len(heads),), -torch.inf)
        greatest = greatest.scatter_reduce(0, owner, logits.detach(), reduce="amax")
        exponential = (logits - greatest[owner]).exp()
        if len(chosen):
            exponential = exponential * _Rows(chosen, weights).look_up_or_one(self.links.link[edges])
        sums = exponential.new_zeros(len(heads)).index_add(0, owner, exponential)
        # A head that has lost all its tails gets no message.
        attention = exponential / torch.where(sums > 0, sums, torch.ones_like(sums))[owner]
        context = torch.zeros_like(own).index_add(0, owner, attention.unsqueeze(1) * other[position])
        layer = own + context
        return functional.normalize(layer) if self._normalise else layer / 2, attention


class _Rows:
    """Some rows of a table that have other values; rows ascend."""

    def __init__(self, rows: Tensor, values: Tensor) -> None:
        self.rows, self.values = rows, values

    def _find(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.searchsorted(self.rows, wanted).clamp(max=max(len(self.rows) - 1, 0))
        return place, self.rows[place] == wanted

    def look_up(self, base: Tensor, wanted: Tensor) -> Tensor:
        """Return rows of the table, ``[wanted, dim]``, the changed ones as they are now."""
        if not len(self.rows):
            return base[wanted]
        place, found = self._find(wanted)
        return torch.where(found.unsqueeze(1), self.values[place], base[wanted])

    def look_up_or_one(self, wanted: Tensor) -> Tensor:
        """Return values ``[wanted]``, 1 where there are none."""
        place, found = self._find(wanted)
        return torch.where(found, self.values[place], torch.ones_like(self.values[place]))
