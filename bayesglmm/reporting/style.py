"""The style sheet of reports: readable on paper, on wide screens and on telephones."""

CSS = """
:root { color-scheme: light; --ink: #1b1b1b; --soft: #4d4d4d; --line: #b9b9b9; --link: #00558c; --back: #ffffff; }
* { box-sizing: border-box; }
html { font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
body { margin: 0 auto; max-width: 58rem; padding: 1rem 1.25rem 4rem; color: var(--ink); background: var(--back); }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1rem 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .7rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
h1, h2, h3, td, th, code, figcaption, p, li { overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 44rem; }
a { color: var(--link); }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { position: static; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: .5rem 0; padding: 0; }
nav a { display: inline-block; padding: .2rem 0; }
.verdict { border: 2px solid; border-left-width: .7rem; border-radius: .3rem; padding: .6rem 1rem; margin: 1rem 0; }
.verdict p { margin: .2rem 0; }
.good { border-color: #1d6b3a; } .check { border-color: #8a5a00; } .bad { border-color: #a11c1c; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .8rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .18rem .9rem .18rem 0; overflow-wrap: normal; }
thead th { border-bottom: 1.5px solid var(--soft); color: var(--soft); font-weight: 600; }
tbody th { font-weight: 400; }
tbody tr { border-bottom: 1px solid #e3e3e3; }
.number { text-align: right; white-space: nowrap; }
.long { min-width: 15rem; }
.note { color: var(--soft); font-size: .92rem; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .92rem; max-width: 44rem; }
pre { background: #f3f3f3; padding: .8rem 1rem; overflow-x: auto; border-radius: .3rem; }
code { font: .92em/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
math { font-size: 1.08rem; }
mtd { text-align: left; padding: .3em .2em; }
footer { margin-top: 3rem; color: var(--soft); font-size: .92rem; }
@media (max-width: 40rem) {
  body { padding: .5rem .8rem 3rem; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
  figure .wide img { max-width: none; width: 36rem; }
}
@media print {
  @page { margin: 18mm 15mm; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  nav, .skip { display: none; }
  .wide, pre { overflow: visible; }
  pre { white-space: pre-wrap; border: 1px solid var(--line); }
  h2, h3, caption { break-after: avoid; }
  figure, tr, .verdict, math { break-inside: avoid; }
  figure img { max-height: 22cm; }
  thead { display: table-header-group; }
}
"""
