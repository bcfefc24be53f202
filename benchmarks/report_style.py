"""The style of the report page: readable from 360 pixels up, light and dark; nothing is fetched."""

from legoclf.benchmarks.plot_style import COLOURS

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --panel: #f5f7f9; --bad: #b3261e; --bad-paper: #fdecea;
LIGHT }
@media (prefers-color-scheme: dark) { :root { --paper: #14181e; --panel: #1d232b; --bad: #ffb4a9;
--bad-paper: #4a1511; DARK } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem 1rem 4rem;
color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .3rem; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 .5rem; border-top: 3px solid var(--ink);
padding-top: .6rem; }
h3 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0; } .note { color: var(--soft); font-size: .9rem; max-width: 46rem; }
.unsteady { background: var(--bad-paper); color: var(--bad); border-left: 5px solid var(--bad);
padding: .6rem .9rem; margin: .8rem 0; }
.unsteady ul { margin: .3rem 0 0; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top; overflow-wrap: normal; }
th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--soft); white-space: nowrap; }
td { border-bottom: 1px solid var(--grid); }
td:first-child { min-width: 11rem; max-width: 26rem; overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; } .i { white-space: nowrap; color: var(--soft); }
.long { min-width: 12rem; max-width: 24rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(0, 7rem) minmax(0, 1fr); gap: .15rem 1rem; margin: .6rem 0;
font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; }
code + .note { display: inline-block; }
code { font: .85em ui-monospace, monospace; background: var(--panel); padding: .1em .3em; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; }
svg { display: block; width: 100%; height: auto; max-width: 56rem; } .narrow { display: none; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--soft); padding: .3rem 0; }
ul { padding-left: 1.1rem; font-size: .9rem; } a { color: inherit; }
@media (max-width: 640px) { .wide { display: none; } .narrow { display: block; }
dl { grid-template-columns: minmax(0, 1fr); } dt { margin-top: .4rem; } td:first-child { min-width: 9rem; } }
"""


def style() -> str:
    """The content of the page's style element."""
    light, dark = (
        " ".join(f"--{name}: {pair[place]};" for name, pair in COLOURS.items()) for place in (0, 1)
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)
