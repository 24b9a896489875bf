"""How a report looks: readable on a phone, in the dark and on paper."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #ffffff; --quiet: #5d6670; --line: #d9dee3;
  --panel: #f5f7f9; --accent: #0072b2; --bar: #cfe4f2; --alarm: #d55e00; --alarm-panel: #fdf1e9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --paper: #15191d; --quiet: #9aa4ae;
  --line: #343b42; --panel: #1e242a; --accent: #6bb8ea; --bar: #1f4560; --alarm: #f0975a;
  --alarm-panel: #2e2118; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
a { color: var(--accent); } p { max-width: 46rem; margin: .5rem 0; } .quiet { color: var(--quiet); }
nav { font-size: .9rem; line-height: 1.9; } nav a { margin-right: .9rem; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.tile { background: var(--panel); border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: .85rem; }
.warnings { list-style: none; padding: 0; }
.warnings li { background: var(--alarm-panel); border-left: .25rem solid var(--alarm);
  padding: .5rem .8rem; margin: .4rem 0; }
.fine { border-left: .25rem solid var(--accent); background: var(--panel); padding: .5rem .8rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
td { min-width: 3.5rem; max-width: 26rem; overflow-wrap: break-word; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
  overflow-wrap: normal; }
.share { background: linear-gradient(to left, var(--bar) var(--part), transparent var(--part)); }
.long { min-width: 12rem; }
figure { margin: 1rem 0; overflow-x: auto; } .drawing svg { min-width: 44rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { color: var(--quiet); font-size: .9rem; } summary { cursor: pointer; color: var(--accent); }
code { font-size: .9em; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem;
  font-size: .9rem; }
dt { color: var(--quiet); } dd { margin: 0; }
@media print { nav { display: none; } body { max-width: none; } }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } body { font-size: 15px; padding: .7rem; } }
"""
