"""Peers: other authors' recommenders, one file each, on the same base class, data and trainer."""
