import { expect, it } from 'vitest';
import { checkIsCheckpoint, explainAbsence } from '../../src/checkpoint/not-a-checkpoint.ts';

const folder = (...names: string[]) => ({
  location: 'there',
  has: async (name: string) => names.includes(name),
  list: async () => names.map((name) => ({ name, kind: 'file' as const })),
});

it.each([
  [['model-q4.gguf'], /^there: "model-q4.gguf" is GGUF, the format of llama.cpp; give the safetensors/],
  [['config.json', 'decoder.onnx'], /"decoder.onnx" is ONNX/],
  [['config.json', 'tokenizer.json', 'onnx'], /"onnx" is ONNX/],
  [['blobs', 'refs', 'snapshots'], /"snapshots" holds the checkpoint, in a folder for each revision/],
  [
    ['runs', 'checkpoint-500', 'checkpoint-1000'],
    /"checkpoint-500" is a checkpoint of a training run; give that folder/,
  ],
  [
    ['adapter_config.json', 'adapter_model.safetensors'],
    /adapter_model.safetensors is an adapter \(LoRA\), not a model; merge/,
  ],
  [['config.json', 'adapter_config.json'], /adapter_config.json is an adapter/],
  [['config.json', 'mm_projector.bin'], /mm_projector.bin is a projector without its model/],
  [['config.json', 'pytorch_model.bin'], /pytorch_model.bin is a pickle, .* convert it/],
  [['pytorch_model-00001-of-00002.bin'], /is a pickle/],
  [['model_index.json', 'unet'], /model_index.json is a pipeline of diffusers/],
  [['a.jpg', 'b.JPG'], /"a.jpg" is a picture; give the folder of a model/],
  [[], /the folder is empty; download/],
  [['config.json', 'weights.safetensors'], /"weights.safetensors" is there, but neither model.safetensors nor/],
  [['config.json', 'README.md'], /neither model.safetensors nor .* is there; is this a checkpoint's folder\?/],
] as [string[], RegExp][])('%j is named for what it is', async (names, message) => {
  await expect(explainAbsence(folder(...names))).rejects.toThrow(message);
  if (!names.includes('config.json') && names.length)
    await expect(checkIsCheckpoint(folder(...names))).rejects.toThrow(message);
});

it('a folder of something else has no config.json', async () => {
  await expect(checkIsCheckpoint(folder('README.md'))).rejects.toThrow(
    'there: no config.json there; give a checkpoint',
  );
  await expect(checkIsCheckpoint(folder('model.safetensors', 'tokenizer.json'))).rejects.toThrow(
    'there: model.safetensors is there without its config.json; download the folder whole',
  );
  await expect(checkIsCheckpoint(folder('config.json'))).resolves.toBeUndefined();
});
