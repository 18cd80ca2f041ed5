// isa.mjs KERNELS.json : compile every kernel of load.mjs's output with Dawn (the `webgpu` npm package) on whatever Vulkan
// driver the environment selects; VK_LAYER_isastats writes the statistics. Runs in the chroot.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const env = process.env,
  require = createRequire(`${env.WEBGPU_ROOT}/x.js`);
const { create, globals } = await import(pathToFileURL(require.resolve('webgpu')).href);
Object.assign(globalThis, globals);
const gpu = create(env.TOGGLES ? [`enable-dawn-features=${env.TOGGLES}`] : []);
const adapter = await gpu.requestAdapter();
if (!adapter) {
  console.error('isa.mjs: no adapter');
  process.exit(2);
}
// FEATS=a,b asks for these features only, FEATS= for none
const features =
  env.FEATS !== undefined
    ? env.FEATS.split(',').filter(Boolean)
    : ['shader-f16', 'subgroups', 'subgroups-f16', 'timestamp-query', 'chromium-experimental-subgroup-matrix'];
const limits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxStorageBuffersPerShaderStage',
];
const device = await adapter.requestDevice({
  requiredFeatures: features.filter((f) => adapter.features.has(f)),
  requiredLimits: Object.fromEntries(limits.map((k) => [k, adapter.limits[k]])),
});
let bad = 0;
for (const k of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  const complain = (e) => {
    bad++;
    console.error(`isa.mjs: ${k.name}: ${e.message}`);
  };
  env.ISASTATS_LABEL = k.name; // the layer reads this with getenv
  device.pushErrorScope('validation');
  const t = performance.now();
  try {
    await device.createComputePipelineAsync({
      label: k.name,
      layout: 'auto',
      compute: {
        module: device.createShaderModule({ code: k.code }),
        entryPoint: k.entryPoint,
        constants: k.constants,
      },
    });
  } catch (e) {
    complain(e);
  }
  const err = await device.popErrorScope();
  if (err) complain(err);
  if (env.VERBOSE) console.error(`${k.name} ${(performance.now() - t).toFixed(1)} ms WGSL to ISA`);
}
process.exit(bad ? 1 : 0);
