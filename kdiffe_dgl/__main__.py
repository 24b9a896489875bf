"""``python -m kdiffe_dgl`` is the command ``kdiffe``."""

from kdiffe_dgl.cli import main

if __name__ == "__main__":
    main(prog_name="kdiffe")
