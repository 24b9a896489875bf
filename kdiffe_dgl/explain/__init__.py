"""Why an item was recommended: the paths that carry its score."""
