// A checkpoint in bf16 with made-up weights, for benchmarks of loading.
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { safetensorsHeader } from '../src/checkpoint/safetensors-writer.ts';
import { bf16 } from '../src/gpu/formats/bf16.ts';
import { elementCount } from '../src/gpu/tensor.ts';
import { pseudoRandom } from '../src/kernels/pseudo-random.ts';
import { parseConfig } from '../src/model/families/index.ts';
import { weightSpecs } from '../src/model/load-model.ts';

/**
 * Writes config.json and model.safetensors to the folder `path`. Numbers of matrices are about as large as a trained model's, those of norms 1.
 * @param config the contents of config.json
 */
export function writeSyntheticCheckpoint(path: string, config: object): void {
  const small = Float32Array.from(pseudoRandom(1 << 22, 1), (x) => 0.03 * x);
  const block = bf16.pack(small, [1, small.length])[0];
  const ones = bf16.pack(new Float32Array(8192).fill(1), [1, 8192])[0];
  const specs = new Map(weightSpecs(parseConfig(config)).map((spec) => [spec.name, spec]));
  mkdirSync(path, { recursive: true });
  const tensors = [...specs.values()].map(({ name, shape }) => ({ name, shape, dtype: 'BF16' as const }));
  const file = openSync(join(path, 'model.safetensors'), 'w');
  writeSync(file, safetensorsHeader(tensors, { format: 'pt' }));
  for (const [i, { name, shape }] of tensors.entries()) {
    const isNorm = /norm\d?\.weight$|layrnorm\.weight$/.test(name);
    // From another place in each, and a length that is no multiple of a row's, so that rows differ.
    let at = isNorm ? 0 : 2 * ((i * 1_299_709) % small.length);
    for (let left = 2 * elementCount(shape); left > 0; ) {
      const piece = isNorm ? ones.subarray(0, left) : block.subarray(at, Math.min(block.length - 6, at + left));
      writeSync(file, piece);
      left -= piece.length;
      at = 0;
    }
  }
  closeSync(file);
  writeFileSync(join(path, 'config.json'), JSON.stringify(config, undefined, 2));
}
