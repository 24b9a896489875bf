"""Run walks, operators and views of the user-item graph and the knowledge graph."""
