"""Style and script of the page of an explanation."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root { color-scheme: light; --ink: #1c2126; --paper: #fffffe; --quiet: #5d6670; --accent: #0072b2; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--paper); max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: .4rem 0; } .quiet { color: var(--quiet); }
#picture { overflow-x: auto; } svg { display: block; min-width: 46rem; width: 100%; height: auto; }
svg.zoomed { cursor: grab; touch-action: none; }
svg text { font-size: 13px; fill: var(--ink); } svg text.heading { fill: var(--quiet); font-size: 12px; }
svg .item text { fill: #ffffff; } .line { fill: none; } .hit { fill: none; stroke: transparent; }
svg .rank { pointer-events: none; } svg .rank text { font-size: 11px; }
.faded { opacity: .12; } .node, .edge { cursor: pointer; }
#tools button { font: inherit; min-width: 2rem; border: 1px solid #c3c8cd; border-radius: 4px;
  background: var(--paper); color: var(--ink); cursor: pointer; }
#legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .85rem; margin: .6rem 0; }
#legend span { max-width: 24rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#legend i { display: inline-block; width: 1.6rem; height: 5px; vertical-align: middle; margin-right: .4rem; }
#hint { min-height: 2.2em; font-size: .9rem; padding: .3rem .6rem; background: #f2f4f6; }
#paths li { padding: .2rem .4rem; cursor: pointer; } #paths li:hover, #paths li:focus { background: #e8f1f8; }
#paths li[aria-pressed="true"] { background: #d3e6f5; }
#paths b { font-variant-numeric: tabular-nums; margin-right: .5rem; }
@media (max-width: 40rem) { body { padding: .5rem; font-size: 14px; } }
"""

SCRIPT = """
"use strict";
(() => {
  const told = JSON.parse(document.getElementById("explanation").textContent);
  const svg = document.querySelector("svg"), hint = document.getElementById("hint");
  const start = "Point at a line or a box to read it, at a sentence to see its path; a click keeps it.";
  const make = (name, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };
  const number = (value) => value === null ? "none" : Number(value).toPrecision(3);
  const nodes = new Map(told.nodes.map((node) => [node.key, node]));
  const shown = (node) => (node.kind === "user" && node.label === node.id ? "user " : "") + node.label;

  // What is lit: what the pointer or the keyboard is at, otherwise what was clicked.
  let kept = null;
  const light = (choice) => {
    const chosen = choice || kept;
    hint.textContent = chosen ? chosen.words : start;
    const lit = new Set();
    for (const edge of told.edges) {
      const is = !chosen || chosen.has(edge);
      edge.group.classList.toggle("faded", !is);
      if (is) lit.add(edge.source).add(edge.target);
    }
    for (const [key, node] of nodes) node.group.classList.toggle("faded", Boolean(chosen) && !lit.has(key));
    for (const path of told.paths) {
      path.mark.classList.toggle("faded", Boolean(chosen) && !chosen.has(path.edge));
      path.entry.setAttribute("aria-pressed", String(kept === path.choice));
    }
  };
  const listen = (element, choice) => {
    for (const name of ["mouseenter", "focus"]) element.addEventListener(name, () => light(choice));
    for (const name of ["mouseleave", "blur"]) element.addEventListener(name, () => light());
    const keep = () => { kept = kept === choice ? null : choice; light(choice); };
    element.addEventListener("click", keep);
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); keep(); }
    });
  };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { kept = null; light(); } });

  // Heights come with the data, in inches; widths from the browser's fonts.
  const INCH = 100, TOP = 30, WIDTH = 1080, BOX = 104, END = TOP + INCH * told.rows.height + 10;
  const level = (inches) => TOP + INCH * inches;
  const step = (WIDTH - 2 * BOX - 10) / Math.max(1, told.columns.length - 1);
  const across = new Map(), half = new Map();
  told.columns.forEach((column, at) => {
    const x = BOX + 5 + at * step;
    const heading = make("text", {class: "heading", x, y: 16, "text-anchor": "middle"}, svg);
    heading.textContent = told.headings[at];
    for (const key of column) across.set(key, x);
  });
  const faint = make("g", {}, svg), lines = make("g", {}, svg), boxes = make("g", {}, svg);
  for (const [key, node] of nodes) {
    const x = across.get(key), y = level(told.rows.centre[key]), high = INCH * told.rows.half[key];
    const group = make("g", {class: "node " + node.role.replace(" ", "-"), tabindex: 0}, boxes);
    const box = make("rect", {rx: 6, y: y - high, height: 2 * high}, group);
    const text = make("text", {x, y: y + 4.5, "text-anchor": "middle"}, group);
    const letters = Array.from(shown(node));
    text.textContent = letters.join("");
    let low = 0, top = letters.length;
    if (text.getComputedTextLength() > 2 * BOX - 20) {
      while (low < top - 1) {
        const middle = (low + top) >> 1;
        text.textContent = letters.slice(0, middle).join("") + "\\u2026";
        if (text.getComputedTextLength() > 2 * BOX - 20) top = middle; else low = middle;
      }
      text.textContent = letters.slice(0, low).join("") + "\\u2026";
    }
    const wide = Math.max(text.getComputedTextLength() / 2 + 10, 18);
    half.set(key, wide);
    for (const [name, value] of Object.entries({x: x - wide, width: 2 * wide,
      fill: told.fills[node.role], stroke: node.kind === "item" ? "#0072b2" : "#6a737d"}))
      box.setAttribute(name, value);
    node.group = group;
    const words = `${shown(node)} \\u2013 ${node.kind}, id ${node.id}`;
    listen(group, {words, has: (edge) => edge.source === key || edge.target === key});
  }
  const stops = new Map(told.places.map((one) => [one.source + "\\n" + one.target, one.keys]));
  const strongest = {};
  for (const edge of told.edges) strongest[edge.kind] = Math.max(strongest[edge.kind] || 0, edge.weight || 0);
  const colours = new Map(told.colours.map((one) => [one.kind + "\\n" + one.relation, one]));
  const bend = ([x, y], [u, v]) => `C${x + 0.45 * (u - x)},${y} ${u - 0.45 * (u - x)},${v} ${u},${v}`;
  const byEnds = new Map();
  told.edges.forEach((edge, at) => {
    const [left, right] = told.ends[at], [y, v] = told.rows.ends[at].map(level);
    let last = [across.get(left) + half.get(left), y], way = `M${last[0]},${y}`;
    if (across.get(left) === across.get(right)) {
      const end = across.get(right) + half.get(right), bow = Math.max(last[0], end) + 50;
      way += `C${bow},${y} ${bow},${v} ${end},${v}`;
    } else {
      for (const key of stops.get(left + "\\n" + right) || []) {
        const p = across.get(key), q = level(told.rows.centre[key] - told.rows.shift[at]);
        way += bend(last, [p - BOX / 2, q]) + `L${p + BOX / 2},${q}`;
        last = [p + BOX / 2, q];
      }
      way += bend(last, [across.get(right) - half.get(right), v]);
    }
    const share = strongest[edge.kind] ? (edge.weight || 0) / strongest[edge.kind] : 0;
    const bold = edge.state === "kept" || edge.state === "proposed";
    const width = Math.max(1 + 7 * share, bold ? 2.4 : 0);
    const group = make("g", {class: "edge", tabindex: -1}, edge.on_path ? lines : faint);
    const look = colours.get(edge.kind + "\\n" + edge.relation), draw = (stroke, wide) =>
      make("path", {class: "line", d: way, stroke, "stroke-width": wide}, group);
    if (edge.on_path) draw("#fffffe", width + (bold ? 4 : 2));
    if (bold) draw(edge.on_path ? "#1c2126" : told.rim, width + 2);
    const line = draw(edge.on_path ? look.colour : look.faint, width);
    if (edge.state === "dropped") line.setAttribute("stroke-dasharray", `${width + 5} ${width * 0.6 + 3}`);
    const hit = make("path", {class: "hit", d: way, "stroke-width": Math.max(12, width)}, group);
    const ends = [shown(nodes.get(edge.source)), shown(nodes.get(edge.target))];
    if (edge.reads_to_source) ends.reverse();
    const words = `${ends[0]} \\u2013 ${edge.label} \\u2013 ${ends[1]}; attention ${number(edge.weight)}` +
      (edge.state ? `; ${edge.state}${edge.state === "proposed" ? "" : " by diffusion"}` : "");
    listen(group, {words, has: (other) => other === edge});
    make("title", {}, group).textContent = words;
    edge.group = group; edge.hit = hit;
    const pair = edge.source + "\\n" + edge.target;
    if (!byEnds.has(pair)) byEnds.set(pair, edge);
  });

  const marks = make("g", {}, svg), taken = [];
  Array.from(document.querySelectorAll("#paths li")).forEach((entry, rank) => {
    const path = told.paths[rank], worth = document.createElement("b");
    worth.textContent = (path.contribution < 0 ? "+" : "\\u2212") + Math.abs(path.contribution).toFixed(3);
    entry.prepend(worth);
    entry.tabIndex = 0;
    const steps = new Set(path.nodes.slice(1).map((key, at) => path.nodes[at] + "\\n" + key));
    path.choice = {words: path.sentence, has: (edge) => steps.has(edge.source + "\\n" + edge.target)};
    path.entry = entry;
    path.edge = byEnds.get(path.nodes.slice(path.nodes.length > 2 ? 1 : 0).slice(0, 2).join("\\n"));
    const length = path.edge.hit.getTotalLength();
    const spots = [.5, .4, .6, .3, .7, .2, .8].map((share) => path.edge.hit.getPointAtLength(share * length));
    const far = (spot) => taken.every((other) => Math.hypot(other.x - spot.x, other.y - spot.y) > 24);
    const spot = spots.find(far) || spots[0];
    taken.push(spot);
    path.mark = make("g", {class: "rank"}, marks);
    make("circle", {cx: spot.x, cy: spot.y, r: 9, fill: "#fffffe", stroke: "#1c2126"}, path.mark);
    make("text", {x: spot.x, y: spot.y + 4, "text-anchor": "middle"}, path.mark).textContent = rank + 1;
    listen(entry, path.choice);
  });

  // Zoom: the buttons, or the wheel with Ctrl (a pinch); what is larger than the frame can be dragged.
  let view = {x: 0, y: 0, zoom: 1}, held = null;
  const look = () => {
    view.x = Math.min(Math.max(view.x, 0), WIDTH - WIDTH / view.zoom);
    view.y = Math.min(Math.max(view.y, 0), END - END / view.zoom);
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${WIDTH / view.zoom} ${END / view.zoom}`);
    svg.classList.toggle("zoomed", view.zoom > 1);
  };
  const zoom = (factor, right = 0.5, down = 0.5) => {
    const next = Math.min(Math.max(view.zoom * factor, 1), 8), gained = 1 / view.zoom - 1 / next;
    view = {x: view.x + right * WIDTH * gained, y: view.y + down * END * gained, zoom: next};
    look();
  };
  for (const [name, factor] of [["in", 1.4], ["out", 1 / 1.4], ["whole", 0]])
    document.getElementById("zoom-" + name).addEventListener("click", () => zoom(factor));
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const frame = svg.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), (event.clientX - frame.left) / frame.width,
      (event.clientY - frame.top) / frame.height);
  }, {passive: false});
  svg.addEventListener("pointerdown", (event) => { held = view.zoom > 1 ? event : null; });
  window.addEventListener("pointerup", () => { held = null; });
  window.addEventListener("pointermove", (event) => {
    if (!held) return;
    const scale = WIDTH / view.zoom / svg.getBoundingClientRect().width;
    view.x -= scale * (event.clientX - held.clientX);
    view.y -= scale * (event.clientY - held.clientY);
    held = event;
    look();
  });

  document.getElementById("score").textContent =
    `score ${told.score.toFixed(3)}; ${told.score_without_paths.toFixed(3)} without the paths below`;
  const legend = document.getElementById("legend");
  for (const one of told.legend) {
    const line = document.createElement("span"), mark = document.createElement("i");
    mark.style.background = one.dashed ?
      `repeating-linear-gradient(90deg, ${one.colour} 0 6px, #fffffe 6px 10px)` : one.colour;
    if (one.rim) mark.style.outline = "1px solid #1c2126";
    line.append(mark, one.name);
    legend.append(line);
  }
  for (const note of told.notes) {
    const line = document.createElement("p");
    line.textContent = note;
    document.getElementById("notes").append(line);
  }
  look();
  light();
})();
"""
