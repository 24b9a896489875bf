"""Packaging of kdiffe-dgl: two importable packages, ``kdiffe_dgl`` and ``kg_builders``."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

# Ranges stay open for users; ``constraints.txt`` pins the one set that the tests run against.
CORE = [
    "dgl>=1.1.3",
    # DGL 2.1.0 imports pandas and packaging without declaring them.
    "pandas>=2.0",
    "packaging>=23",
    "torch>=2.1",
    "networkx>=3.0",
    "scikit-learn>=1.3",
    "click>=8.1",
    "matplotlib>=3.7",
    "numpy>=1.24",
    "scipy>=1.10",
    "pyarrow>=14",
    "polars>=1.30",
    "narwhals>=2.0",
    "pydantic>=2.5",
    "pyyaml>=6.0",
    "rich>=13",
    "safetensors>=0.4",
    # Typed JSON of streams, and similarity of names: small, without dependencies, used by every build.
    "msgspec>=0.18",
    "rapidfuzz>=3.6",
    "threadpoolctl>=3",
]

# Imported when they are used; what is missing is told by name.
EXTRAS = {
    "duckdb": ["duckdb>=1.1"],
    "spark": ["pyspark>=3.5"],
    "rdf": ["pyoxigraph>=0.5"],
    "remote": ["fsspec>=2024.1"],
    "text": ["sentence-transformers>=3", "transformers>=5"],
    "image": ["scikit-image>=0.22", "pillow>=10"],
    "image-models": ["timm>=1.0", "torchvision", "transformers>=5", "pillow>=10"],
    "sound": ["librosa>=0.10", "soundfile>=0.12"],
    "faiss": ["faiss-cpu>=1.8"],
    "tune": ["optuna>=4.2"],
    # Builds the site of the documentation; nothing imports it.
    "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
}

# Extras whose tests are worth their size; the others' tests are skipped where these are missing.
TESTED = [
    name
    for extra in ("duckdb", "spark", "rdf", "remote", "image", "sound", "faiss", "tune")
    for name in EXTRAS[extra]
]

DEV = [
    *TESTED,
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.90",
    "ir-measures>=0.3.3",
    "mypy>=1.8",
    "ruff>=0.4",
    "types-PyYAML",
    "pandas-stubs",
    "scipy-stubs",
]

setup(
    name="kdiffe-dgl",
    version="0.1.0",
    description="Knowledge-aware, diffusion-enhanced multimedia recommendation on DGL",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["kdiffe_dgl*", "kg_builders*"]),
    package_data={
        "kdiffe_dgl": ["py.typed", "presets/*.yaml"],
        "kg_builders": ["py.typed", "presets/*.yaml"],
    },
    python_requires=">=3.10,<3.13",
    install_requires=CORE,
    extras_require={**EXTRAS, "dev": DEV},
    entry_points={"console_scripts": ["kdiffe = kdiffe_dgl.cli:main", "kg-build = kg_builders.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
