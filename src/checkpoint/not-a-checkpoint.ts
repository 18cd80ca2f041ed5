// Folders that are no checkpoint of safetensors: what they are, and the way out.
import { quote } from '../base/quote.ts';
import type { Folder } from '../platform/types.ts';
import { CheckpointError } from './errors.ts';

export const singleFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

const pickle =
  'is a pickle, which can run code when opened and is not read; convert it: load it with transformers in Python and save_pretrained(…, safe_serialization=True)';
const adapter =
  'is an adapter (LoRA), not a model; merge it into its base model with peft (merge_and_unload, then save_pretrained) and give that folder';
const projector = 'is a projector without its model; give the folder of the whole model';

/** By name, in this order. */
const others: readonly (readonly [file: string, what: string])[] = [
  ['mm_projector.bin', projector],
  ['mm_projector.safetensors', projector],
  ['adapter_model.safetensors', adapter],
  ['adapter_model.bin', adapter],
  ['adapter_config.json', adapter],
  ['pytorch_model.bin', pickle],
  ['pytorch_model.bin.index.json', pickle],
  ['consolidated.00.pth', pickle],
  ['model.pth', pickle],
  ['model_index.json', 'is a pipeline of diffusers, which makes pictures; give a vision-language model'],
];

/** Weights that `openCheckpoint` refuses with advice. */
export const otherWeights = others.map(([file]) => file).filter((file) => !file.endsWith('_config.json'));

/** By name, most often its ending, where the files can be listed. */
const endings: readonly (readonly [RegExp, string])[] = [
  [/^snapshots$/, 'holds the checkpoint, in a folder for each revision; give one of these'],
  [/^checkpoint-\d+$/, 'is a checkpoint of a training run; give that folder'],
  [/\.gguf$/i, 'is GGUF, the format of llama.cpp; give the safetensors checkpoint that it was made from'],
  [/\.onnx(_data)?$|^onnx$/i, 'is ONNX; give the safetensors checkpoint that it was made from'],
  [/\.(bin|pth|pt|ckpt)$/i, pickle],
  [/\.(npz|mlpackage|tflite|h5|msgpack)$/i, 'is another framework’s format; give the safetensors checkpoint'],
  [/\.safetensors$/i, `is there, but neither ${singleFile} nor ${indexFile}; rename it, or download the folder whole`],
  [
    /\.(png|jpe?g|webp|gif|bmp|tiff?|avif|heic)$/i,
    'is a picture; give the folder of a model here, and pictures by --image or --data',
  ],
];

type Listed = Pick<Folder, 'location' | 'has' | 'list'>;

/** What a folder has instead of a checkpoint of safetensors, and what to do about it; undefined where nothing is known there. */
async function whatElse(folder: Listed): Promise<string | undefined> {
  for (const [file, what] of others) if (await folder.has(file)) return `${file} ${what}`;
  const names = (await folder.list?.(''))?.map(({ name }) => name);
  if (names?.length === 0) return 'the folder is empty; download the checkpoint into it';
  for (const [ending, what] of endings) {
    const file = names?.find((name) => ending.test(name));
    if (file !== undefined) return `${quote(file)} ${what}`;
  }
  return undefined;
}

/** @throws CheckpointError for a folder without config.json, saying what it is. */
export async function checkIsCheckpoint(folder: Listed): Promise<void> {
  if (await folder.has('config.json')) return;
  for (const file of [singleFile, indexFile])
    if (await folder.has(file))
      throw new CheckpointError(
        `${folder.location}: ${file} is there without its config.json; download the folder whole`,
      );
  const what = await whatElse(folder);
  throw new CheckpointError(
    `${folder.location}: ${what ?? 'no config.json there; give a checkpoint folder as on the Hugging Face hub'}`,
  );
}

/**
 * @param hint what to say if nothing known is there either.
 * @throws CheckpointError always: what a folder, here or on the hub, has instead of safetensors, and what to do about it.
 */
export async function explainAbsence(folder: Listed, hint = "is this a checkpoint's folder?"): Promise<never> {
  const what = await whatElse(folder);
  throw new CheckpointError(
    `${folder.location}: ${what ?? `neither ${singleFile} nor ${indexFile} is there; ${hint}`}`,
  );
}
