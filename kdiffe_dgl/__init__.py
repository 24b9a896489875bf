"""Knowledge-aware, diffusion-enhanced multimedia recommendation (KDiffE) on DGL."""

__version__ = "0.1.0"
