"""Why an item was recommended: the paths that carry its score, measured by deleting them."""

from kdiffe_dgl.explain.explainer import Explainer
from kdiffe_dgl.explain.explanation import Edge, Explanation, Node, Path
from kdiffe_dgl.explain.paths import Limits

__all__ = ["Edge", "Explainer", "Explanation", "Limits", "Node", "Path"]
