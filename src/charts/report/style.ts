/** The report's style sheet: one column that reads on a phone, light or dark as the reader's system is. */
export const style = /* css */ `
:root {
  color-scheme: light dark;
  --page: #fcfbf8; --card: #ffffff; --ink: #1f2328; --soft: #5c636c; --line: #e4e1da;
  --sav: #2355c4; --zero-shot: #c05a1c; --quiet: #8b9098; --good: #1f7a4d; --bad: #b3362b;
  --shadow: 0 1px 2px rgb(0 0 0 / 5%), 0 4px 16px rgb(0 0 0 / 4%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1b1e24; --ink: #e7e9ec; --soft: #a0a7b1; --line: #30353d;
    --sav: #7ba6ff; --zero-shot: #f0a06a; --quiet: #868d97; --good: #6ccf9c; --bad: #ff8d80;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  text-size-adjust: 100%; -webkit-text-size-adjust: 100%;
}
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; font-weight: 650; letter-spacing: -0.012em; }
h1 { font-size: clamp(1.6rem, 5vw, 2.2rem); margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 0; }
h3 { font-size: .95rem; margin: 0 0 .6rem; }
p { margin: .5rem 0; max-width: 42rem; text-wrap: pretty; }
a { color: var(--sav); }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.soft, figcaption, .facts dt { color: var(--soft); }
.small, figcaption { font-size: .84rem; line-height: 1.45; }
.label { unicode-bidi: isolate; overflow-wrap: break-word; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; margin: 1.2rem 0 0; font-size: .88rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
section { margin-top: 3rem; }
section.task { border-top: 1px solid var(--line); padding-top: 2rem; }
.question { border-left: 3px solid var(--line); padding-left: .8rem; white-space: pre-line; overflow-wrap: anywhere; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figure.overview { margin: 1.2rem 0 1.6rem; }
figcaption { margin-top: .5rem; max-width: 34rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 2rem; margin-top: 1.6rem; align-items: start; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table.summary { width: 100%; font-size: .92rem; }
.summary th, .summary td { padding: .45rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
.summary thead th { color: var(--soft); font-weight: 500; font-size: .82rem; vertical-align: bottom; white-space: normal; }
.summary th:first-child { text-align: left; padding-left: 0; font-weight: 600; white-space: normal; min-width: 7rem; }
.summary td.best { color: var(--sav); font-weight: 650; }
.summary td small, .figure-number small { color: var(--soft); font-weight: 400; }
.tag { display: inline-block; border: 1px solid currentColor; border-radius: 99px; padding: 0 .5rem; font-size: .74rem; font-weight: 600; color: var(--soft); white-space: nowrap; }
.numbers { display: flex; flex-wrap: wrap; gap: .4rem 2.2rem; margin: 1rem 0 .6rem; }
.figure-number { font-size: .84rem; color: var(--soft); }
.figure-number b { display: block; font-size: 1.6rem; line-height: 1.2; color: var(--ink); font-weight: 650; font-variant-numeric: tabular-nums; }
.figure-number.sav b { color: var(--sav); }
.figure-number.zero b { color: var(--zero-shot); }
.warning { border: 1px solid var(--bad); border-radius: 8px; padding: .6rem .9rem; color: var(--bad); }
.key { display: inline-flex; flex-wrap: wrap; gap: .3rem 1.1rem; }
.key span { white-space: nowrap; }
.key i { display: inline-block; width: .7em; height: .7em; margin-right: .4em; vertical-align: -.02em; border-radius: 50%; }
.key .sav { background: var(--sav); } .key .zero { border: 2px solid var(--zero-shot); }
.key .all { border: 1.5px solid var(--quiet); border-radius: 1px; transform: rotate(45deg) scale(.85); }
.key .chance { width: 2px; height: .9em; border-radius: 0; background: var(--quiet); }
.ramp { display: inline-block; width: 5rem; height: .7em; border-radius: 2px; vertical-align: -.02em; background: linear-gradient(90deg, transparent, var(--sav)); border: 1px solid var(--line); }
.confusion { font-size: .84rem; }
.confusion th { font-weight: 500; color: var(--soft); padding: .2rem .45rem; max-width: 8.5rem; text-align: right; overflow-wrap: anywhere; }
.confusion thead th { text-align: center; vertical-align: bottom; }
.confusion td { position: relative; min-width: 2.3rem; height: 2.1rem; text-align: center; border: 2px solid var(--page); background: color-mix(in srgb, var(--sav) calc(var(--share) * 62%), var(--card)); }
.confusion td.wrong { background: color-mix(in srgb, var(--bad) calc(var(--share) * 62%), var(--card)); }
.confusion td.none { color: transparent; }
table.list { font-size: .84rem; width: 100%; }
.list th, .list td { padding: .15rem .6rem .15rem 0; text-align: left; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.list th { color: var(--soft); font-weight: 500; } .list td:last-child { white-space: nowrap; }
.list + figcaption { margin-bottom: 1.4rem; }
.queries { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15.5rem), 1fr)); gap: 1rem; margin-top: .8rem; }
.query { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .9rem; box-shadow: var(--shadow); font-size: .86rem; min-width: 0; }
.query .pictures, .looks { display: flex; flex-wrap: wrap; gap: .5rem; margin-bottom: .6rem; }
.query figure { flex: 0 1 7rem; } .looks figure { flex: 0 1 3.4rem; } .looks { margin: .6rem 0 0; }
.query figcaption { margin-top: .15rem; font-size: .72rem; line-height: 1.3; overflow-wrap: anywhere; }
.query img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 6px; background: color-mix(in srgb, var(--quiet) 12%, transparent); }
.query img.pixels { image-rendering: pixelated; }
.looks figcaption { font-size: .64rem; text-align: center; }
.nearest { display: flex; gap: .6rem; align-items: center; margin-top: .6rem; overflow-wrap: anywhere; }
.nearest img { flex: 0 0 3.2rem; width: 3.2rem; }
.query .verdict { display: flex; justify-content: space-between; gap: .6rem; font-weight: 600; }
.right { color: var(--good); } .wrong-answer { color: var(--bad); }
.vote { display: grid; grid-template-columns: minmax(0, 7rem) 1fr 1.6rem; gap: .5rem; align-items: center; margin-top: .25rem; }
.vote .label { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.vote .bar { height: .55rem; border-radius: 3px; background: color-mix(in srgb, var(--quiet) 15%, transparent); overflow: hidden; }
.vote .bar i { display: block; height: 100%; background: var(--quiet); }
.vote.won .bar i { background: var(--sav); }
.vote.won { font-weight: 600; }
.vote b { font-weight: inherit; text-align: right; font-variant-numeric: tabular-nums; }
.chips { display: flex; flex-wrap: wrap; gap: 3px; margin-top: .6rem; }
.chips span { font: 10px/1.5 ui-monospace, Menlo, Consolas, monospace; padding: 0 .3rem; border-radius: 3px; background: color-mix(in srgb, var(--quiet) 16%, transparent); color: var(--soft); }
.chips span.won { background: color-mix(in srgb, var(--sav) 20%, transparent); color: var(--ink); }
details { margin-top: 1rem; } summary { cursor: pointer; color: var(--soft); }
@media print { .scroll { overflow: visible; } .summary th, .summary td { padding: .3rem; font-size: .72rem; } body { background: #fff; } section.task { break-before: page; } .query { break-inside: avoid; } }
`;
