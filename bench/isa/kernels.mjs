/**
 * Kernels for a gate on GPU machine code: an array of { name, code, entryPoint }, from the built package (`npm run build`
 * first). Every variant that is a default on some GPU belongs here.
 */
import { readFileSync } from 'node:fs';
import { formats } from '../../dist/gpu/formats/index.js';
import { argmaxWgsl } from '../../dist/kernels/argmax/argmax.wgsl.js';
import {
  attentionContract,
  attentionSplitWgsl,
  attentionTileWgsl,
} from '../../dist/kernels/attention/attention.wgsl.js';
import { attentionDecodeWgsl, attentionMergeWgsl } from '../../dist/kernels/attention/decode.wgsl.js';
import { attentionTile } from '../../dist/kernels/attention/plan.js';
import {
  attentionPatternWgsl,
  attentionScoresWgsl,
} from '../../dist/kernels/attention-pattern/attention-pattern.wgsl.js';
import { gatedActivationBody } from '../../dist/kernels/elementwise/elementwise.wgsl.js';
import { perElementWgsl } from '../../dist/kernels/elementwise/per-element.js';
import { headResultWgsl, headSumBody } from '../../dist/kernels/head-result/head-result.wgsl.js';
import { matmulWgsl } from '../../dist/kernels/matmul/choose.js';
import { rotatedMatmulWgsl } from '../../dist/kernels/matmul/rotated.wgsl.js';
import { normWgsl } from '../../dist/kernels/norm/norm.wgsl.js';
import { rotateAndAppendWgsl } from '../../dist/kernels/rotary/append.wgsl.js';

const entryPoint = 'main';

const matmul = (name, plan, traits) => ({
  name: `matmul.${name}.${traits.format.name}${traits.bias ? '.epilogue' : ''}`,
  code: matmulWgsl({ bias: false, residual: false, ...traits }, plan),
  entryPoint,
});
const [f32, f16, bf16, q8, q4] = ['f32', 'f16', 'bf16', 'q8', 'q4'].map((name) => ({ format: formats[name] }));
const epilogue = { ...f32, bias: true, residual: true, activation: 'gelu' };
const gate = { gated: true, activation: 'silu' };
const block = (rows) => ({ variant: 'workgroup', rows, columns: 4, threads: [8, 16], depth: 4 });
const matvec = (variant, rows) => ({ variant, rows, columns: 4, threads: 64 });

const norm = (kind, reduce, lanes, columns, output = 'normalized') => ({
  name: `norm.${kind}.${reduce}${output === 'normalized' ? '' : `.${output}`}`,
  code: normWgsl({ kind, columns, eps: 1e-5, output, variant: { reduce, lanes }, width: 4 }),
  entryPoint,
});
const x = { dtype: 'f32' };
const gated = (name) => ({
  name: `gatedActivation.${name}`,
  code: perElementWgsl({ inputs: { gate: x, up: x }, width: 4, ...gatedActivationBody(name, 4) }),
  entryPoint,
});

const rotateAndAppend = (stored) => ({
  name: `rotateAndAppend.${stored.name}`,
  code: rotateAndAppendWgsl({
    heads: 32,
    kvHeads: 8,
    headSize: 128,
    width: 4,
    stored: stored.name === 'f32' ? undefined : stored,
  }),
  entryPoint,
});

const rotated = (variant, { format }, rows = 1) => ({
  name: `rotatedMatmul.${variant}.${rows}row${rows > 1 ? 's' : ''}.${format.name}.f16-cache`,
  code: rotatedMatmulWgsl(
    { format, bias: false, heads: 32, kvHeads: 8, headSize: 128, stored: formats.f16 },
    matvec(variant, rows),
  ),
  entryPoint,
});

const headSizes = [16, 24, 32, 40, 64, 72, 80, 96, 128, 256];
const heads = (headSize, mask) => ({ heads: 32, kvHeads: 8, headSize, width: 4, mask });
const named = (name, mask) => `${name}${mask ? `.${mask}` : ''}`;
const attentionSplit = (size, mask) => ({
  name: named(`attention.split.${size}`, mask),
  code: attentionSplitWgsl(heads(size, mask)),
  entryPoint,
});
const attentionDecode = (kvHeads, size, stored) => ({
  name: `attention.decode.${32 / kvHeads}x${size}${stored ? `.${stored.name}` : ''}`,
  code: attentionDecodeWgsl({ ...heads(size), kvHeads, stored }),
  entryPoint,
});
const attentionTiles = (size, mask) => ({
  name: named(`attention.tile.${size}`, mask),
  code: attentionTileWgsl(heads(size, mask), attentionTile('tile', size / 4)),
  entryPoint,
});
const attentionScores = (mask) => ({
  name: named('attention-scores.128', mask),
  code: attentionScoresWgsl(heads(128, mask)),
  entryPoint,
});
const attention = [
  ...headSizes.flatMap((size) => [attentionSplit(size), attentionTiles(size)]),
  attentionSplit(128, 'window'),
  ...[undefined, formats.f16].flatMap((stored) => [
    attentionDecode(32, 128, stored),
    attentionDecode(8, 128, stored),
    attentionDecode(4, 64, stored),
  ]),
  { name: 'attention.merge.128', code: attentionMergeWgsl({ headSize: 128, width: 4 }), entryPoint },
  ...[64, 128].map((size) => attentionTiles(size, 'window')),
  ...[64, 80, 128].map((size) => attentionTiles(size, 'segments')),
  ...[undefined, 'window', 'segments'].map(attentionScores),
];
const headResult = ({ format }) => ({
  name: `head-result.${format.name}`,
  code: headResultWgsl({ ...heads(128), dModel: 4096, format }),
  entryPoint,
});

/** The worked examples of rewritten attention: their texts behind the header, with what they bind besides. */
const examples = Object.entries({
  'sliding-window': '',
  'temperature-softmax': '@group(0) @binding(5) var<storage, read> temperature: array<f32>;\n',
  entropy: '@group(0) @binding(5) var<storage, read_write> entropy: array<f32>;\n',
}).map(([name, declared]) => ({
  name: `example.${name}.128`,
  code: `${attentionContract(heads(128))}${declared}${readFileSync(new URL(`../../docs/examples/kernels/${name}.wgsl`, import.meta.url), 'utf8')}`,
  entryPoint,
}));

export const kernels = [
  ...attention,
  ...examples,
  { name: 'attention-pattern', code: attentionPatternWgsl, entryPoint },
  ...[f32, bf16].map(headResult),
  matmul('base', { variant: 'base' }, f32),
  matmul('base', { variant: 'base' }, bf16),
  matmul('tile4x4', { variant: 'tile', rows: 4, columns: 4 }, f32),
  matmul('tile4x4', { variant: 'tile', rows: 4, columns: 4 }, f16),
  ...[f32, f16, bf16, epilogue].map((traits) => matmul('workgroup8x4', block(8), traits)),
  ...[f32, f16].map((traits) => matmul('workgroup4x4', block(4), traits)),
  ...[f32, f16, bf16, q8, q4].map((traits) => matmul('matvecSubgroup.1row', matvec('matvecSubgroup', 1), traits)),
  matmul('matvecSubgroup.4rows', matvec('matvecSubgroup', 4), f16),
  matmul('matvec.1row', matvec('matvec', 1), f16),
  matmul('matvec.4rows', matvec('matvec', 4), f32),
  ...[f32, f16].map((traits) =>
    matmul('gated.matvecSubgroup.1row', matvec('matvecSubgroup', 1), { ...traits, ...gate }),
  ),
  ...['layer', 'rms'].map((kind) => norm(kind, 'subgroup', 32, 1024)),
  ...['layer', 'rms'].map((kind) => norm(kind, 'workgroup', 256, 4096)),
  ...['layer', 'rms'].map((kind) => norm(kind, 'workgroup', 256, 4096, 'rescaled')),
  {
    name: 'head-sum',
    code: perElementWgsl({ inputs: { result: x, bias: x }, width: 4, body: headSumBody(32, 4096, 4, true) }),
    entryPoint,
  },
  rotateAndAppend(formats.f32),
  rotateAndAppend(formats.f16),
  ...[f16, q8, q4].map((traits) => rotated('matvecSubgroup', traits)),
  rotated('matvecSubgroup', f16, 4),
  rotated('matvec', f16),
  gated('silu'),
  gated('gelu'),
  { name: 'argmax.workgroup', code: argmaxWgsl(32064, { reduce: 'workgroup', lanes: 256 }, 4), entryPoint },
];
