"""KDiffE and its baselines on one base class."""
