"""The parts of a graph's report: what is counted, what is advised, and how it is shown."""
