"""Trained models in use: the run folder and top-K recommendations, without DGL and torch."""

from kdiffe_dgl.serving.recommender import Recommender
from kdiffe_dgl.serving.run_folder import RunFolder, RunInfo

__all__ = ["Recommender", "RunFolder", "RunInfo"]
