"""``python -m kg_builders``: the command ``kg-build``."""

from kg_builders.cli import main

main(prog_name="kg-build")
