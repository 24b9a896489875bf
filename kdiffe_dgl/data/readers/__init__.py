"""Readers of published layouts: one file a layout, each returns a ``RecDataset``."""
