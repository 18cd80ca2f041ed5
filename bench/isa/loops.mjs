// loops.mjs: read driver ISA text (RADV/ACO "Assembly", NVK "NAK assembly") and describe the hot loop: the loop (a backward
// branch) holding the most multiply-adds.  Returns {instr,fma,gmem,gbytes,lds,branch,wait,mov,spill,other,fmaShare} per iteration.
const classes = {
  radv: {
    fma: /^v_(dual_)?(wmma|fma|fmac|mad|mac|fmaak|fmamk|fmaakk|pk_fma|pk_fmac|pk_mad|dot\d|fma_mix|fma_mixlo|fma_mixhi)(_|lo|hi)/,
    spill: /^(scratch_|v_(readlane|writelane))|^buffer_(load|store)_dword\S* v\[?\d+\S*,? off, /,
    gmem: /^(buffer|global|flat|s_buffer|tbuffer|image)_(load|store|atomic)/,
    lds: /^ds_/,
    branch: /^s_(c?branch)/,
    wait: /^s_(waitcnt|delay_alu|nop|clause|barrier)|^\(then/,
  },
  nvk: {
    fma: /^(ffma|hfma2|dfma|imad|idp4|dp4a|hmma|imma)/,
    spill: /^(ld|st)\.local/,
    gmem: /^(ld|st|atom|red)\.(global|a64)|^(ldg|stg)/,
    lds: /^(ld|st|atom)\.shared|^(lds|sts)/,
    branch: /^(bra|bssy|bsync|brk|break)/,
    wait: /^(nop|bar|bclear|depbar)/,
  },
};
function bytes(m) {
  let x;
  if ((x = m.match(/_b(\d+)/))) return +x[1] / 8;
  if ((x = m.match(/dword(x(\d))?/))) return 4 * (+x[2] || 1);
  if ((x = m.match(/\.b(\d+)/))) return +x[1] / 8;
  if (/_[us]byte|_[ui]8/.test(m)) return 1;
  if (/short|_[ui]16/.test(m)) return 2;
  return 4;
}
// natural loop of the back edge src->hdr over instruction nodes: hdr plus everything that reaches src without passing hdr
function naturalLoop(pred, hdr, src) {
  const body = new Set([hdr]),
    st = [src];
  while (st.length) {
    const n = st.pop();
    if (body.has(n)) continue;
    body.add(n);
    for (const p of pred[n] ?? []) st.push(p);
  }
  return body;
}
// -> {kind, blocks:[{ins:[], succ:[]}]}
export function parse(text) {
  const lines = text.split('\n').slice(1),
    blocks = [];
  if (/^block(\.u)? \d+ L/m.test(text)) {
    let b;
    for (const l of lines) {
      let m;
      if ((m = l.match(/^block(?:\.u)? (\d+)/))) blocks[+m[1]] = b = { ins: [], succ: [] };
      else if ((m = l.match(/^\} -> \[(.*)\]/))) b.succ = m[1].split(',').filter(Boolean).map(Number);
      else if (b && l.trim()) {
        const t = l
          .replace(/\/\/.*/, '')
          .replace(/^@!?u?p\d+/, '')
          .trim();
        const op = t.includes(' = ') ? t.split(' = ')[1].trim() : t;
        if (op && op !== '}') b.ins.push(op);
      }
    }
    return { kind: 'nvk', blocks };
  }
  if (/^BB\d+:/m.test(text)) {
    const at = {};
    let b;
    const open = () => {
      blocks.push((b = { ins: [], succ: [], to: [], fall: true }));
    };
    for (const l of lines) {
      let m;
      if ((m = l.match(/^BB(\d+):/))) {
        open();
        at[m[1]] = blocks.length - 1;
        continue;
      }
      if (!/^\s+\S/.test(l)) continue;
      if (!b || b.closed) open();
      if ((m = l.match(/\(then repeated (\d+) times/))) {
        for (let i = 0; i < +m[1]; i++) b.ins.push(b.ins.at(-1));
        continue;
      }
      const t = l.replace(/;.*/, '').trim();
      if (!t) continue;
      for (const p of t.split(' :: ')) b.ins.push(p.trim()); // VOPD: two operations
      if ((m = t.match(/^s_(c?)branch\S*\s+BB(\d+)/))) {
        b.to.push(m[2]);
        b.fall = !!m[1];
        b.closed = true;
      } else if (/^s_endpgm/.test(t)) {
        b.fall = false;
        b.closed = true;
      }
    }
    blocks.forEach((b, i) => {
      b.succ = b.to.map((x) => at[x]);
      if (b.fall && i + 1 < blocks.length) b.succ.push(i + 1);
    });
    return { kind: 'radv', blocks };
  }
  return null;
}
export function hotLoop(text) {
  const g = parse(text);
  if (!g) return null;
  const { kind, blocks } = g,
    pred = [];
  blocks.forEach((b, i) => b.succ.forEach((s) => (pred[s] ??= []).push(i)));
  const heads = new Map(); // header -> union of its natural loops
  blocks.forEach((b, i) =>
    b.succ.forEach((s) => {
      if (s <= i) {
        const l = naturalLoop(pred, s, i);
        heads.set(s, new Set([...(heads.get(s) ?? []), ...l]));
      }
    }),
  );
  const c = classes[kind];
  let best = null;
  for (const [, body] of heads) {
    const r = { instr: 0, fma: 0, gmem: 0, gbytes: 0, lds: 0, branch: 0, wait: 0, mov: 0, spill: 0, other: 0 };
    for (const n of body)
      for (const m of blocks[n].ins) {
        r.instr++;
        if (c.fma.test(m)) r.fma++;
        else if (c.spill?.test(m)) r.spill++;
        else if (c.gmem.test(m)) {
          r.gmem++;
          r.gbytes += bytes(m.split(' ')[0]);
        } else if (c.lds.test(m)) r.lds++;
        else if (c.branch.test(m)) r.branch++;
        else if (c.wait.test(m)) r.wait++;
        else if (/^(v_|s_)?mov/.test(m)) r.mov++;
        else r.other++;
      }
    r.fmaShare = r.instr ? +(r.fma / r.instr).toFixed(3) : 0;
    if (!best || r.fma > best.fma || (r.fma === best.fma && r.instr < best.instr)) best = r;
  }
  return best;
}
