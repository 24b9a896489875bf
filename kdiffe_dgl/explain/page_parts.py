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
svg text { font-size: 13px; fill: var(--ink); } svg text.heading { fill: var(--quiet); font-size: 12px; }
svg .item text { fill: #ffffff; } .line { fill: none; } .hit { fill: none; stroke: transparent; }
.faded { opacity: .12; } .context { opacity: .35; } .node, .edge { cursor: default; }
#legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .85rem; margin: .6rem 0; }
#legend span { max-width: 24rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#legend i { display: inline-block; width: 1.6rem; border-top: 4px solid; vertical-align: middle;
  margin-right: .4rem; }
#hint { min-height: 2.2em; font-size: .9rem; padding: .3rem .6rem; background: #f2f4f6; }
#paths li { padding: .2rem .4rem; cursor: pointer; } #paths li:hover, #paths li:focus { background: #e8f1f8; }
#paths b { font-variant-numeric: tabular-nums; margin-right: .5rem; }
@media (max-width: 40rem) { body { padding: .5rem; font-size: 14px; } }
"""

SCRIPT = """
"use strict";
(() => {
  const told = JSON.parse(document.getElementById("explanation").textContent);
  const svg = document.querySelector("svg"), hint = document.getElementById("hint");
  const start = "Point at a line or a box to read its weight; at a sentence to see its path.";
  const make = (name, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };
  const say = (text) => { hint.textContent = text || start; };
  const number = (value) => value === null ? "none" : Number(value).toPrecision(3);
  const nodes = new Map(told.nodes.map((node) => [node.key, node]));
  const shown = (node) => (node.kind === "user" && node.label === node.id ? "user " : "") + node.label;
  const ROW = 46, TOP = 34, WIDTH = 1080, BOX = 104;
  const rows = Math.max(...told.columns.map((column) => column.length));
  const height = Math.max(rows, 3) * ROW;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height + TOP + 10}`);
  const place = new Map(), half = new Map();
  const step = (WIDTH - 2 * BOX - 10) / Math.max(1, told.columns.length - 1);
  told.columns.forEach((column, at) => {
    const x = BOX + 5 + at * step;
    const heading = make("text", {class: "heading", x, y: 16, "text-anchor": "middle"}, svg);
    heading.textContent = told.headings[at];
    column.forEach((key, row) => place.set(key, [x, TOP + height * (row + 0.5) / column.length]));
  });
  const lines = make("g", {}, svg), boxes = make("g", {}, svg);
  for (const [key, node] of nodes) {
    const [x, y] = place.get(key);
    const group = make("g", {class: "node " + node.role.replace(" ", "-"), tabindex: 0}, boxes);
    const box = make("rect", {rx: 6, y: y - 14, height: 28}, group);
    const text = make("text", {x, y: y + 4.5, "text-anchor": "middle"}, group);
    const letters = Array.from(shown(node));
    text.textContent = letters.join("");
    let low = 0, high = letters.length;
    if (text.getComputedTextLength() > 2 * BOX - 20) {
      while (low < high - 1) {
        const middle = (low + high) >> 1;
        text.textContent = letters.slice(0, middle).join("") + "\\u2026";
        if (text.getComputedTextLength() > 2 * BOX - 20) high = middle; else low = middle;
      }
      text.textContent = letters.slice(0, low).join("") + "\\u2026";
    }
    const wide = Math.max(text.getComputedTextLength() / 2 + 10, 18);
    half.set(key, wide);
    const fills = {user: "#e3e6ea", history: "#d3e6f5", item: "#0072b2", "other user": "#eef0f2"};
    for (const [name, value] of Object.entries({x: x - wide, width: 2 * wide,
      fill: fills[node.role] || "#fffffe", stroke: node.kind === "item" ? "#0072b2" : "#6a737d"}))
      box.setAttribute(name, value);
    const words = `${shown(node)} \\u2013 ${node.kind}, id ${node.id}`; group.addEventListener("mouseenter",
    () => { say(words); light((edge) => edge.source === key || edge.target === key); });
    group.addEventListener("focus", () => say(words)); group.addEventListener("mouseleave", () => { say();
    light(); }); node.group = group;
  }
  const stops = new Map(told.places.map((one) => [one.source + "\\n" + one.target, one.keys]));
  const strongest = {};
  for (const edge of told.edges) strongest[edge.kind] = Math.max(strongest[edge.kind] || 0, edge.weight || 0);
  const colours = new Map(told.colours.map((one) => [one.kind + "\\n" + one.relation, one]));
  const twins = new Map();
  const bend = ([x, y], [u, v]) => `C${x + 0.45 * (u - x)},${y} ${u - 0.45 * (u - x)},${v} ${u},${v}`;
  for (const edge of told.edges) {
    const pair = edge.source + "\\n" + edge.target, twin = twins.get(pair) || 0;
    twins.set(pair, twin + 1);
    const shift = 7 * (twin % 2 ? -1 : 1) * Math.ceil(twin / 2);
    const [x, y] = place.get(edge.source), [u, v] = place.get(edge.target);
    let at = [x + half.get(edge.source), y + shift], way = `M${at[0]},${at[1]}`;
    if (x === u) {
      const end = [u + half.get(edge.target), v + shift];
      way += `C${at[0] + 50},${at[1]} ${end[0] + 50},${end[1]} ${end[0]},${end[1]}`;
    } else {
      for (const key of stops.get(pair) || []) {
        const [p, q] = place.get(key);
        way += bend(at, [p - BOX / 2, q + shift]) + bend([p - BOX / 2, q + shift], [p + BOX / 2, q + shift]);
        at = [p + BOX / 2, q + shift];
      }
      way += bend(at, [u - half.get(edge.target), v + shift]);
    }
    const share = strongest[edge.kind] ? (edge.weight || 0) / strongest[edge.kind] : 0, width = 1 + 7 * share;
    const group = make("g", {class: "edge" + (edge.on_path ? "" : " context")}, lines);
    const look = colours.get(edge.kind + "\\n" + edge.relation);
    if (edge.state === "kept" || edge.state === "proposed")
      make("path", {class: "line", d: way, stroke: "#1c2126", "stroke-width": width + 3}, group);
    const line = make("path", {class: "line", d: way, stroke: look.colour, "stroke-width": width}, group);
    if (edge.state === "dropped") line.setAttribute("stroke-dasharray", `${width + 5} ${width * 0.6 + 3}`);
    make("path", {class: "hit", d: way, "stroke-width": Math.max(14, width)}, group);
    const ends = [shown(nodes.get(edge.source)), shown(nodes.get(edge.target))];
    if (edge.reads_to_source) ends.reverse();
    const words = `${ends[0]} \\u2013 ${edge.label} \\u2013 ${ends[1]}; attention ${number(edge.weight)}` +
      (edge.state ? `; ${edge.state}${edge.state === "proposed" ? "" : " by diffusion"}` : "");
    group.addEventListener("mouseenter", () => { say(words); light((other) => other === edge); });
    group.addEventListener("mouseleave", () => { say(); light(); });
    make("title", {}, group).textContent = words;
    edge.group = group;
  }
  function light(chosen) {
    for (const edge of told.edges) edge.group.classList.toggle("faded", Boolean(chosen) && !chosen(edge));
  }
  document.getElementById("score").textContent =
    `score ${told.score.toFixed(3)}; ${told.score_without_paths.toFixed(3)} without the paths below`;
  Array.from(document.querySelectorAll("#paths li")).forEach((entry, rank) => {
    const path = told.paths[rank];
    const worth = document.createElement("b");
    worth.textContent = "\\u2212" + path.contribution.toFixed(3);
    entry.prepend(worth);
    entry.tabIndex = 0;
    const steps = new Set(path.nodes.slice(1).map((key, at) => path.nodes[at] + "\\n" + key));
    const show = () => light((edge) => steps.has(edge.source + "\\n" + edge.target));
    entry.addEventListener("mouseenter", show); entry.addEventListener("focus", show);
    entry.addEventListener("mouseleave", () => light()); entry.addEventListener("blur", () => light());
  });
  const legend = document.getElementById("legend");
  const entry = (colour, style, words) => {
    const line = document.createElement("span"), mark = document.createElement("i");
    mark.style.borderTopColor = colour; mark.style.borderTopStyle = style;
    line.append(mark, words); legend.append(line);
  };
  const named = new Map(told.colours.map((one) => [one.colour + "\\n" + one.name, one]));
  for (const one of named.values()) entry(one.colour, "solid", one.name);
  entry("#6a737d", "dashed", "dropped by diffusion");
  entry("#1c2126", "solid", "dark rim: kept or proposed");
  for (const note of told.notes) {
    const line = document.createElement("p");
    line.textContent = note;
    document.getElementById("notes").append(line);
  }
  say();
})();
"""
