// check.mjs [--update] BASELINE.json OUT GPU... : gate over OUT/GPU/stats.json (what isa.sh leaves).
// Absolute rules: nothing spilled, no scratch, LDS <= 16384 (WebGPU's guaranteed limit).  Relative rules, against the baseline:
// registers, instructions and hot-loop instructions may not grow by more than 5 %, occupancy may not drop.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

let args = process.argv.slice(2);
const update = args[0] === '--update';
if (update) args = args.slice(1);
const [base, out, ...gpus] = args;
if (!update && !existsSync(base)) {
  console.log(`no baseline ${base}: make it with --update`);
  process.exit(1);
}
const B = existsSync(base) ? JSON.parse(readFileSync(base, 'utf8')) : {},
  N = {};
let bad = 0,
  fresh = 0;
const say = (g, k, m) => {
  bad++;
  console.log(`${g} ${k}: ${m}`);
};
for (const g of gpus) {
  const dir = `${out}/${g.replaceAll(':', '_')}`;
  if (!existsSync(`${dir}/stats.json`)) {
    say(g, 'all kernels', 'no statistics');
    continue;
  }
  N.versions = readFileSync(`${dir}/versions`, 'utf8').trim();
  for (const r of JSON.parse(readFileSync(`${dir}/stats.json`, 'utf8'))) {
    if (r.error) {
      say(g, r.id, r.error);
      continue;
    }
    const key = `${g} ${r.label} ${r.executable}`,
      s = r.summary,
      v = { regs: s.regs, instr: s.instr, waves: s.waves, loop: r.hotLoop?.instr, fma: r.hotLoop?.fma };
    N[key] = v;
    if (s.spills) say(g, r.label, `${s.spills} registers spilled`);
    if (s.scratch) say(g, r.label, `scratch ${s.scratch} B (spill or dynamically indexed private array)`);
    if (s.lds > 16384) say(g, r.label, `LDS ${s.lds} B`);
    const o = B[key];
    if (!o) {
      fresh++;
      continue;
    }
    if (update) continue;
    for (const k of ['regs', 'instr', 'loop'])
      if (o[k] && v[k] > o[k] * 1.05) say(g, r.label, `${k} ${o[k]} -> ${v[k]}`);
    if (o.waves && v.waves < o.waves) say(g, r.label, `occupancy ${o.waves} -> ${v.waves}`);
  }
}
if (update) writeFileSync(base, `${JSON.stringify({ ...B, ...N }, null, 1)}\n`);
else if (B.versions && N.versions && B.versions !== N.versions)
  console.log(`note: baseline made with ${B.versions}, now ${N.versions}`);
const n = Object.keys(N).filter((k) => k !== 'versions').length,
  count = (n, w) => `${n} ${w}${n === 1 ? '' : 's'}`;
console.log(
  (bad ? count(bad, 'complaint') : 'ok') +
    `: ${count(n, 'shader')}` +
    (fresh ? `, ${fresh} ${update ? 'new in' : 'not in'} the baseline` : ''),
);
process.exit(bad ? 1 : 0);
