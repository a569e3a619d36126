/** The report's style sheet: light and dark by the reader's setting, narrow screens, print. */
export const styleSheet = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0; --tint: #f4f6f8; --link: #0b62b3; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e6e9ec; --soft: #9aa5b1; --line: #333a42; --tint: #1d2227; --link: #6db3f2; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; line-height: 1.35; margin: 0 0 .5rem; }
p, ul { margin: .5rem 0; } ul { padding-left: 1.3rem; } li { margin: .25rem 0; }
a { color: var(--link); }
.question { font-size: 1.1rem; margin: 0 0 .4rem; }
.sources { font-size: .95em; }
.facts, figcaption, .note { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .55rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; white-space: nowrap; }
thead th { background: var(--tint); vertical-align: bottom; font-weight: 600; white-space: normal; }
td.number, th.number { text-align: right; }
td.text { white-space: normal; min-width: 13rem; overflow-wrap: anywhere; }
th.group { text-align: center; border-left: 1px solid var(--line); }
figure { margin: 2rem 0 2.6rem; }
figcaption { margin-top: .5rem; max-width: 48rem; }
.chart { overflow-x: auto; overflow-y: hidden; padding: .3rem 0; }
.chart svg { display: block; }
main svg { font-family: "DejaVu Sans", Verdana, sans-serif; }
.vega-embed { position: relative; padding-right: 0 !important; }
.vega-embed { display: block !important; }
.vega-embed details { margin: 0; }
.vega-embed summary { color: #333; }
.interactive { display: none; }
.live .interactive { display: block; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .86rem; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0 0 0 1.2rem; overflow-wrap: anywhere; }
details { margin: .8rem 0; } summary { cursor: pointer; }
.schemes, .verified { --good: #00805c; --stuck: #b36b00; --bad: #c44600; }
.comparison td { vertical-align: middle; } .comparison td, .comparison thead th { padding: .25rem .35rem; }
.comparison tr.scheme th { border-bottom: 0; padding: .9rem .45rem .1rem; font-weight: 400; white-space: normal; }
.comparison tbody tr:last-child td { border-bottom: 1px solid var(--line); }
.about strong { font-size: 1.2em; margin-right: .5em; } .about code { font-size: .97em; }
.about .source { display: block; color: var(--soft); }
.comparison { width: 100%; line-height: 1.35; }
td.constants { white-space: normal; width: 10.5rem; max-width: 10.5rem; }
.constants div { display: flex; flex-wrap: wrap; gap: 0 .7em; font-size: .95em; }
td.verdicts { white-space: normal; min-width: 7rem; }
.verdict { padding-left: 1.1em; text-indent: -1.1em; }
.aside { color: var(--soft); font-size: .92em; }
.spark svg { display: block; }
.stacks { font-weight: 400; } .stacks span { display: inline-block; border-left: .7em solid; padding-left: .3em; margin-right: .3em; line-height: 1; font-size: .92em; }
.good { color: var(--good); } .stuck { color: var(--stuck); } .bad { color: var(--bad); } .open { color: var(--soft); }
.overview th[scope] { font-weight: 600; }
@media (prefers-color-scheme: dark) { .schemes, .verified { --good: #2dbd92; --stuck: #e69f00; --bad: #ff7a3d; } }
h4 { font-size: .95rem; line-height: 1.35; margin: 0 0 .4rem; }
.verified section { margin: 1.2rem 0; } .verified section + section { margin-top: 2.4rem; padding-top: 1.4rem; border-top: 1px solid var(--line); } .verified figure { margin: 1.6rem 0 .8rem; }
.claim { margin: .9rem 0; padding-left: .9rem; border-left: 3px solid var(--line); max-width: 52rem; } .claim p { margin: .2rem 0; overflow-wrap: anywhere; }
.numbers { display: flex; flex-wrap: wrap; gap: 0 1.4em; color: var(--soft); font-size: .9rem; font-variant-numeric: tabular-nums; } .numbers b { color: var(--ink); font-weight: 600; }
@media (max-width: 40rem) {
  main { padding: 1.2rem .8rem 3rem; } h1 { font-size: 1.5rem; }
  /* Rows as cards: a table this wide would hide most of itself. */
  .comparison, .comparison tbody, .comparison tr, .comparison th, .comparison td { display: block; width: auto; }
  .comparison thead { display: none; }
  .comparison tr:not(.scheme) { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .comparison td, .comparison tbody tr:last-child td { display: flex; gap: .8rem; border: 0; text-align: left; padding: .1rem .45rem; align-items: baseline; max-width: none; white-space: normal; }
  .comparison td::before { content: attr(data-label); color: var(--soft); flex: 0 0 6.4rem; } .comparison td.number { white-space: nowrap; }
  .comparison tbody tr td.spark:nth-child(n) { align-items: center; } .spark.end svg { margin-left: 26px; } .about code { overflow-wrap: anywhere; }
}
@page comparison { size: landscape; }
@media print {
  .schemes { page: comparison; break-before: page; break-after: page; } .comparison tbody { break-inside: avoid; }
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #333; --line: #bbb; --tint: #f4f4f4; --link: #000; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  figure, tr, .finding, .claim { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .wide, .chart { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: .15rem .35rem; white-space: normal; }
  /* Two figures with their captions fit a page; the comparison fits one with its note. */
  .chart svg { max-width: 100%; max-height: 88mm; width: auto; height: auto; } figure { margin: .8rem 0 1.2rem; }
  figcaption, .note { font-size: 8pt; line-height: 1.4; max-width: none; } figcaption p { margin: .25rem 0; }
  .comparison tr.scheme th { padding-top: .35rem; } .comparison .spark svg { height: 34px; width: auto; }
  .vega-embed details, .live .interactive, .sources { display: none; }
}
`;
