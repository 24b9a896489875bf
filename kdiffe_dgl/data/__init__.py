"""Data sets: one on-disk format, readers of published layouts, splits, fetchable and planted data."""

from kdiffe_dgl.data.dataset import SPLITS, RecDataset

__all__ = ["SPLITS", "RecDataset"]
