"""What a knowledge graph holds: as plain values, as tables for the terminal, or as a page with plots."""

from __future__ import annotations

from kg_builders.reporting.describing import describe
from kg_builders.reporting.page import json_text, write_report
from kg_builders.reporting.terminal import render

__all__ = ["describe", "json_text", "render", "write_report"]
