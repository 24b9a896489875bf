"""The steps of pruning, on one set of integer arrays; ``kg_builders.prune`` is the front."""
