"""How the page looks: light and dark, on a phone, on a wide screen and on paper.

Right is blue and wrong is orange: M. Okabe and K. Ito's colours, which people who see few colours can tell
apart.
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #56606f; --page: #fff; --card: #f4f6f8; --line:
  #d9dee5;
  --right: 0,114,178; --wrong: 213,94,0; --link: #005a8f; --bad: #a64600; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a3adba; --page: #14181f; --card:
  #1e242d;
  --line: #38414d; --link: #7cc4f5; --bad: #ff9a5c; } }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 74rem; padding: 1.2rem 1rem 4rem;
  color: var(--ink); background: var(--page); overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.5rem; } h2 { margin: 2.6rem 0 .5rem; font-size: 1.25rem; } h3 { margin: 0 0
  .3rem; font-size: 1rem; }
a { color: var(--link); } .note { color: var(--soft); margin: .3rem 0 .8rem; }
.big { font-size: clamp(2.6rem, 9vw, 4rem); font-weight: 700; line-height: 1.1; letter-spacing: -.02em; }
.headline { margin: .8rem 0 0; } .interval { position: relative; height: .7rem; max-width: 34rem; margin:
  .6rem 0 .2rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .4rem; }
.interval i { position: absolute; top: 0; bottom: 0; background: rgba(var(--right), .35); border-radius:
  .3rem; }
.interval b { position: absolute; top: -.25rem; bottom: -.25rem; width: 3px; margin-left: -1px; background:
  rgb(var(--right)); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin:
  1rem 0; padding: 0; }
.tiles div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { color: var(--soft); font-size: .85rem; } .tiles dd { margin: 0; font-size: 1.25rem; font-weight:
  600; }
.tiles small { font-size: .8rem; font-weight: 400; color: var(--soft); white-space: nowrap; }
.advice { border-left: 4px solid rgb(var(--wrong)); background: var(--card); padding: .5rem .9rem; margin:
  .6rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: .6rem 0; border-bottom: 1px solid
  var(--line); }
.scroll { overflow: auto; max-width: 100%; } table { border-collapse: collapse; font-variant-numeric:
  tabular-nums; }
td, th { padding: .25rem .6rem; text-align: right; } th { font-weight: 600; }
.figures tr > :first-child { text-align: left; min-width: 7rem; } .figures thead th { overflow-wrap: normal;
  border-bottom: 2px solid var(--line); vertical-align: bottom; }
.figures tbody tr { border-bottom: 1px solid var(--line); } .figures tbody th { font-weight: 500; }
.figures:not(.facts) td { white-space: nowrap; }
.bar { display: inline-block; width: 6rem; height: .65rem; background: var(--line); border-radius: .2rem;
  overflow: hidden; vertical-align: middle; }
.bar i { display: block; float: left; height: 100%; background: rgb(var(--right)); } .bar.wrong i {
  background: rgb(var(--wrong)); }
.sorts thead button { all: unset; cursor: pointer; font: inherit; } .sorts thead button:focus-visible {
  outline: 2px solid var(--link); }
.sorts thead button::after { content: " ↕"; color: var(--soft); } .sorts [aria-sort=descending]
  button::after { content: " ↓"; } .sorts [aria-sort=ascending] button::after { content: " ↑"; }
.bar i.v { background: #56b4e9; } .bar i.t { background: #e69f00; } .wide .bar { width: min(22rem, 34vw);
  background: none; }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin: 0 .3rem 0 .9rem;
  background: rgb(var(--right)); }
.key i.v { background: #56b4e9; } .key i.t { background: #e69f00; }
.matrix { font-size: .78rem; border-collapse: separate; border-spacing: 1px; } .matrixbox { max-height:
  85vh; }
.matrix td { min-width: 1.7rem; height: 1.7rem; padding: 0; text-align: center; background: var(--card); }
.matrix td a { display: block; line-height: 1.7rem; color: var(--ink); text-decoration: none; } .matrix td
  a:hover, .matrix td a:focus { outline: 2px solid var(--ink); }
.matrix th { font-weight: 500; white-space: nowrap; background: var(--page); position: sticky; overflow:
  hidden; text-overflow: ellipsis; }
.matrix tbody th { left: 0; z-index: 1; max-width: min(11rem, 32vw); } .matrix thead th { top: 0; z-index:
  2; vertical-align: bottom; padding: .3rem 0; }
.matrix thead th:first-child { left: 0; z-index: 3; font-size: .7rem; color: var(--soft); padding: .3rem; }
.matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 9rem; overflow:
  hidden; text-overflow: ellipsis; }
.cell { display: none; } .cell:target { display: block; position: fixed; inset: 6vh max(4vw, calc(50vw -
  30rem)) auto; max-height: 88vh; overflow: auto; z-index: 9;
  background: var(--page); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; box-shadow: 0
  0 0 100vmax rgba(0,0,0,.55); }
.close { float: right; padding: .2rem .7rem; background: var(--card); border-radius: .4rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 10.5rem), 1fr)); gap:
  .8rem; } figure { margin: 0; }
.pictures figure, .pair { background: var(--card); border-radius: .5rem; padding: .6rem; break-inside:
  avoid; }
figure img { display: block; width: 100%; height: 112px; object-fit: contain; margin-bottom: .3rem; }
  figcaption { font-size: .82rem; line-height: 1.4; }
.odds { display: grid; grid-template-columns: 1fr auto; gap: 0 .4rem; align-items: center; } .odds .bar {
  width: 100%; height: .45rem; grid-column: 1 / -1; margin-bottom: .2rem; }
.path { color: var(--soft); font-size: .75rem; } .named { color: var(--bad); font-weight: 600; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .8rem;
  } .pair div { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; }
.plot { display: block; width: 100%; max-width: 46rem; height: auto; background: #fff; border-radius: .5rem;
  border: 1px solid var(--line); }
#calibration .plot { max-width: 32rem; }
pre { white-space: pre-wrap; background: var(--card); border-radius: .5rem; padding: .8rem; user-select:
  all; }
.facts { max-width: 100%; } .facts :is(td, th) { text-align: left; vertical-align: top; border-bottom: 1px
  solid var(--line); }
summary { cursor: pointer; padding: .3rem 0; } ul { padding-left: 1.2rem; }
#duplicates .pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
@media (max-width: 560px) { td, th { padding: .25rem .2rem; } .figures { font-size: .86rem; }
  .figures tr > :first-child { min-width: 4.8rem; padding-left: 0; }
  .figures .bar { display: block; margin-left: auto; width: 2.4rem; } .wide .bar { width: 26vw; }
  .sorts thead th:not([aria-sort]) button::after { content: ""; } }
@media print { nav, .cell { display: none !important; } .scroll, .matrixbox { overflow: visible; max-height:
  none; } body { font-size: 11px; } * { print-color-adjust: exact; } }
"""
