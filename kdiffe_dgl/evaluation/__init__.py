"""Full-ranking evaluation, significance tests and reports."""

from kdiffe_dgl.evaluation.evaluator import Evaluation, Evaluator, Score, dot_product

__all__ = ["Evaluation", "Evaluator", "Score", "dot_product"]
