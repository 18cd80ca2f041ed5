// load.mjs KERNELS... : read kernel files, print one JSON array [{name, code, entryPoint?, constants?}] for isa.mjs.
// Runs on the host, so a *.mjs may import the project's own modules.  A KERNELS file is one of
//   *.wgsl  -> one kernel per @compute entry point, named file or file:entry
//   *.json  -> [{name, code, entryPoint?, constants?}]
//   *.mjs   -> export const kernels (or export default) = [{name, code, entryPoint?, constants?}]
// ONLY=a,b limits by name.
import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const fail = (m) => {
  console.error(`load.mjs: ${m}`);
  process.exit(1);
};
const all = [];
for (const f of process.argv.slice(2)) {
  let ks;
  try {
    if (f.endsWith('.wgsl')) {
      const code = readFileSync(f, 'utf8'),
        bare = code.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '');
      const entries = [...bare.matchAll(/@compute[\s\S]*?\bfn\s+(\w+)/g)].map((m) => m[1]);
      ks = entries.map((e) => ({
        name: basename(f, '.wgsl') + (entries.length > 1 ? `:${e}` : ''),
        code,
        entryPoint: e,
      }));
    } else if (f.endsWith('.json')) ks = JSON.parse(readFileSync(f, 'utf8'));
    else {
      const m = await import(pathToFileURL(resolve(f)).href);
      ks = m.kernels ?? m.default;
    }
  } catch (e) {
    fail(`${f}: ${e.message}`);
  }
  if (!Array.isArray(ks) || !ks.length) fail(`${f}: no kernels in it`);
  for (const { name, code, entryPoint, constants } of ks) {
    if (typeof name !== 'string' || typeof code !== 'string') fail(`${f}: a kernel without name or code`);
    if (all.some((k) => k.name === name)) fail(`${f}: a second kernel named ${name}`);
    all.push({ name, code, entryPoint, constants });
  }
}
const only = process.env.ONLY?.split(',');
for (const n of only ?? [])
  if (!all.some((k) => k.name === n)) fail(`no kernel named ${n}; there are ${all.map((k) => k.name).join(' ')}`);
await new Promise((done) =>
  process.stdout.write(JSON.stringify(only ? all.filter((k) => only.includes(k.name)) : all), done),
);
process.exit(0); // whatever an imported module left running
