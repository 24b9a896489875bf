"""One page that shows an explanation and needs nothing else: no network, no library.

All words of the data lie in one block of JSON, in which no tag can end, and reach the page as text nodes; the
content policy lets the browser run the page's own script, told by its hash, and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from typing import Any

from kdiffe_dgl.explain.arrange import columns_of, drawn_ends, rows_of
from kdiffe_dgl.explain.colours import FAINT, colours_of, tint
from kdiffe_dgl.explain.explanation import Explanation
from kdiffe_dgl.explain.page_parts import SCRIPT, STYLE
from kdiffe_dgl.explain.picture import (
    FILLS,
    PATHS_TOLD,
    WIDTH_TOLD,
    heading_of,
    legend_of,
    picture_bytes,
    signed,
)
from kg_builders.reporting.markup import text
from kg_builders.reporting.picture import INK

__all__ = ["explanation_page", "notebook_fragment", "script_json"]


_ZOOM = (
    "<button id='zoom-in' title='Larger'>+</button> "
    "<button id='zoom-out' title='Smaller'>\N{MINUS SIGN}</button> <button id='zoom-whole'>whole</button>"
)


def script_json(value: Any) -> str:
    """Return JSON for a script element: ``<``, ``>`` and ``&`` are escaped, so that nothing ends it early."""
    dumped = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return dumped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def explanation_page(explanation: Explanation) -> str:
    """Return a page: the picture, whose edges tell their weights, and sentences, which light up paths."""
    columns, places = columns_of(explanation)
    rows = rows_of(explanation, columns, places)
    nodes = {node.key: node for node in explanation.nodes}
    colours = colours_of(explanation)
    drawn = explanation.to_dict() | {
        "title": explanation.title,
        "columns": columns,
        "headings": [heading_of([nodes[key] for key in column if key in nodes]) for column in columns],
        "places": [
            {"source": source, "target": target, "keys": keys} for (source, target), keys in places.items()
        ],
        "colours": [
            {"kind": kind, "relation": relation, "colour": colour, "faint": tint(colour, FAINT)}
            for (kind, relation), (colour, _) in colours.items()
        ],
        "legend": [
            {"name": name, "colour": colour, "dashed": dashed, "rim": rim}
            for name, colour, dashed, rim in legend_of(explanation)
        ],
        "rows": asdict(rows),
        "ends": drawn_ends(explanation, columns),
        "fills": FILLS,
        "rim": tint(INK, FAINT),
    }
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    sentences = "".join(f"<li>{_text(sentence)}</li>" for sentence in explanation.sentences)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(explanation.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1><bdi>{_text(explanation.title)}</bdi></h1>\n<p id='score' class='quiet'></p>",
            "<div id='picture'><svg role='img' aria-label='Paths from the user to the item'></svg></div>",
            f"<div id='tools'>{_ZOOM} <span class='quiet'>{_text(WIDTH_TOLD)}</span></div>",
            "<div id='legend'></div><div id='hint' role='status'></div>",
            f"<p class='quiet'>{_text(PATHS_TOLD)}</p>\n<ol id='paths'>{sentences}</ol>",
            "<div id='notes' class='quiet'></div>",
            f'<script type="application/json" id="explanation">{script_json(drawn)}</script>',
            f"<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def notebook_fragment(explanation: Explanation) -> str:
    """Return picture and sentences as HTML for a notebook's cell."""
    picture = base64.b64encode(picture_bytes(explanation, "png")).decode()
    lines = "".join(
        f"<li>{_text(path.sentence)} <small>({signed(path.contribution)})</small></li>"
        for path in explanation.paths
    )
    source = f"data:image/png;base64,{picture}"
    image = f'<img alt="{_text(explanation.title)}" style="max-width: 100%" src="{source}">'
    return f"<div>{image}<ol>{lines}</ol></div>"


def _text(value: str) -> str:
    """Escape a text; characters that no page may hold, or that turn the writing direction, are replaced."""
    return text(value, None)
