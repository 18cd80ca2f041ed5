// A tiny checkpoint with an input to edit.
import { openFolder } from '#platform';
import type { Gpu } from '../../src/gpu/gpu.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { type LoadedModel, loadModel } from '../../src/model/load-model.ts';
import type { ActivationCache } from '../../src/model/run/activations.ts';
import { fixturePath, modelInput, readTensors } from '../fixtures.ts';

export interface Subject {
  loaded: LoadedModel;
  input: ModelInput;
  other: ModelInput;
}

export async function open(gpu: Gpu, checkpoint: string, name: string): Promise<Subject> {
  const tensors = readTensors(`${checkpoint}/expected.safetensors`);
  const own = [...tensors]
    .filter(([key]) => key.startsWith(`${name}/`))
    .map(([key, t]) => [key.slice(name.length + 1), t]);
  const input = modelInput(new Map(own as never));
  const other = {
    ...input,
    visuals: input.visuals.map((visual) => ({ ...visual, pixels: visual.pixels.map((x) => -x) })),
  };
  return { loaded: await loadModel(await openFolder(fixturePath(checkpoint)), { gpu }), input, other };
}

/** For `toEqual`, which takes a second for each million elements of an array and none for a text. */
export const bits = ({ buffer, byteOffset, byteLength }: Float32Array | Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('hex');
export const data = (cache: ActivationCache, name: string) => cache.get(name)!.data;
