// Headlight beside other libraries on one adapter (README.md).
// Run: npm install --ignore-scripts --prefix bench/peers, then npx tsx -C headlight-source bench/peers/run.ts
import { parseArgs } from 'node:util';
import { adapterName } from '../../src/gpu/capabilities.ts';
import { openDevices } from './adapter.ts';
import { type Measured, measureRow } from './kernels.ts';
import { nameOf, rows } from './rows.ts';
import { kernelTable, modelTable } from './table.ts';
import { startTfjs } from './tfjs.ts';
import type { ModelRow } from './turns.ts';

const { values } = parseArgs({
  options: {
    /** Kernels whose name contains this. */
    rows: { type: 'string', default: '' },
    /** Leave the kernels, or the model, out. */
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds > 0))
  throw new Error(`--rounds ${values.rounds}: give a whole number above 0`);
if (values.only && !['kernels', 'model'].includes(values.only)) throw new Error('--only takes kernels or model');

// Without it Node finds nothing to do while WebGPU compiles, and then waits for V8 to optimise all of ORT's module: minutes.
const awake = setInterval(() => {}, 1000);

const devices = await openDevices();
const { gpu } = devices;
const adapter = gpu.capabilities;
const progress = (text: string) => process.stderr.write(`${text}\n`);

const kernels: Measured[] = [];
if (values.only !== 'model') {
  await startTfjs(gpu);
  for (const row of rows.filter((row) => nameOf(row).includes(values.rows))) {
    progress(nameOf(row));
    kernels.push(...(await measureRow(devices, row, rounds)));
  }
}

let model: ModelRow[] = [];
if (values.only !== 'kernels') {
  process.env.ORT_DISABLE_TELEMETRY = '1'; // read when ONNX Runtime is loaded
  const { measureModel } = await import('./model.ts');
  model = await measureModel(gpu, rounds, progress);
}

if (values.json) console.log(JSON.stringify({ adapter, rounds, kernels, model }, undefined, 2));
else console.log([`${adapterName(adapter)}, ${rounds} rounds`, kernelTable(kernels), modelTable(model)].join('\n\n'));
clearInterval(awake);
process.exit(0); // the peers keep workers and devices; Node then waits for V8 to finish with ORT's module, minutes on a busy machine
