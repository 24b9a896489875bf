"""Knowledge graphs in the formats of other tools, one module each; see :mod:`kg_builders.io`."""
