// table.mjs DIR : print one line for each shader in DIR/stats.jsonl, and write DIR/stats.json with the hot loop joined in
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hotLoop } from './loops.mjs';

const dir = process.argv[2];
const rows = readFileSync(`${dir}/stats.jsonl`, 'utf8')
  .trim()
  .split('\n')
  .map((l) => JSON.parse(l));
const RDNA = /NAVI|VANGOGH|REMBRANDT|RAPHAEL|GFX1[0-9]|PHOENIX|STRIX/;
const pick = (s, ...ks) => {
  for (const k of ks) if (s[k] !== undefined) return s[k];
};
for (const r of rows) {
  if (r.error) {
    console.log(JSON.stringify(r));
    continue;
  }
  const s = r.stats;
  const u = (r.summary = {
    regs: pick(s, 'VGPRs', 'Number of GPRs'),
    spills: (s['Spilled VGPRs'] ?? 0) + (s['Spilled SGPRs'] ?? 0),
    scratch: pick(s, 'Scratch size', 'SLM Size'),
    lds: s['LDS size'],
    // RADV counts in wave32 units on RDNA: halve for wave64, so that this is real waves per SIMD
    waves:
      s['Subgroups per SIMD'] &&
      s['Subgroups per SIMD'] / (s.VOPD !== undefined && r.subgroupSize === 64 && RDNA.test(r.device) ? 2 : 1),
    instr: pick(s, 'Instructions', 'Instruction count'),
  });
  const id = String(r.id).padStart(3, '0');
  for (const f of readdirSync(dir)
    .filter((f) => f.startsWith(`${id}.`) && f.endsWith('.txt'))
    .reverse()) {
    const h = hotLoop(readFileSync(`${dir}/${f}`, 'utf8'));
    if (h) {
      r.hotLoop = h;
      break;
    }
  }
  const h = r.hotLoop;
  console.log(
    `${r.label.padEnd(14)} ${r.device.slice(0, 34).padEnd(34)} sg${r.subgroupSize} ${r.executable} regs ${u.regs ?? '-'} spills ${u.spills} scratch ${u.scratch ?? '-'} lds ${u.lds ?? '-'} waves ${u.waves ?? '-'} instr ${u.instr}` +
      (s['Inverse Throughput'] ? ` lat ${s.Latency} invthr ${s['Inverse Throughput']}` : '') +
      (h
        ? ` | hot loop ${h.instr} instr, ${h.fma} fma (${(h.fmaShare * 100).toFixed(0)}%), gmem ${h.gmem} (${h.gbytes} B), lds ${h.lds}, br ${h.branch}, mov ${h.mov}, spill ${h.spill}, other ${h.other}`
        : '') +
      ` | ${r.compileMs} ms`,
  );
}
writeFileSync(`${dir}/stats.json`, JSON.stringify(rows, null, 1));
