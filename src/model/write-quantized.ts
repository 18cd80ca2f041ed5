// A checkpoint written again with its matrices in fewer bits: what `load(folder, { weights })` makes of it each time, made once.
import { type Checkpoint, openCheckpoint, readRange, storedAs } from '../checkpoint/checkpoint-files.ts';
import type { StoredAs } from '../checkpoint/checkpoint-tensor.ts';
import { CheckpointError } from '../checkpoint/errors.ts';
import { loadTensors, type TensorSpec } from '../checkpoint/load.ts';
import { modelId, PassingId, SeenTensors } from '../checkpoint/model-id.ts';
import { canonicalName, detectLayout } from '../checkpoint/names.ts';
import { checkIsCheckpoint, indexFile, singleFile } from '../checkpoint/not-a-checkpoint.ts';
import { packedTensors, packingKey, packingVersion, quantMethod } from '../checkpoint/packed.ts';
import { byteLength, type SafetensorsDType } from '../checkpoint/safetensors-dtypes.ts';
import { safetensorsHeader } from '../checkpoint/safetensors-writer.ts';
import { settingsFiles } from '../checkpoint/settings-files.ts';
import { checkSpecs, checkTied } from '../checkpoint/specs.ts';
import { dtypeOf } from '../checkpoint/stored-formats.ts';
import { bufferBytes, type Format, matrixShape } from '../gpu/formats/format.ts';
import { type Gpu, openGpu } from '../gpu/gpu.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Folder, WritePieces } from '../platform/types.ts';
import { visiting } from '../platform/visiting.ts';
import { InputError } from './errors.ts';
import { readConfig } from './families/read-config.ts';
import { unreadTensors, weightSpecs } from './load-model.ts';
import type { Quantisation } from './quantisation.ts';
import { chosenFormat, chosenFormats, type WeightsChoice } from './weight-formats.ts';

/** Which formats are written, and where. */
export interface QuantizeOptions {
  /**
   * Writes a file of the new checkpoint, piece by piece: in Node `(name, pieces) => writeFile(join(folder, name), pieces)`, in a page
   * `CheckpointStore.write`. One file at a time, config.json last.
   */
  readonly write: WritePieces;
  /** The formats, as `load` takes them. Default: q4, which is q8 outside of the decoder. */
  readonly weights?: WeightsChoice;
  /** Converts the matrices. Default: one that is opened, and freed in the end. */
  readonly gpu?: Gpu;
  /** Bytes of a file of weights, where one matrix does not take more. Default: 2 GB. */
  readonly shardBytes?: number;
  /** Told how many bytes will be written, before the first is: where there is no room for them, it may throw. */
  readonly onSize?: (bytes: number) => void | Promise<void>;
  /** Bytes of the checkpoint that have been read, and all that will be. */
  readonly onProgress?: (read: number, total: number) => void;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** What was written. */
export interface Quantized {
  /** Of the checkpoint that was read, and of what `load` makes of the new one. */
  readonly modelId: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** Bytes of tensors by the name of their format. */
  readonly formats: Readonly<Record<string, number>>;
  /** Bytes of the checkpoint that was read, all tensors together. */
  readonly storedBytes: number;
  /** Tensors that no forward pass reads: they are not in the new checkpoint. */
  readonly left: readonly string[];
}

/** What is held of a tensor at a time. */
const chunkBytes = 4 << 20;

/** What `quantize` does. */
export const writeQuantized = (folder: Folder, options: QuantizeOptions): Promise<Quantized> =>
  visiting(folder, options.signal, (visited) => writeFrom(visited, options));

async function writeFrom(folder: Folder, options: QuantizeOptions): Promise<Quantized> {
  const { weights = 'q4', shardBytes = 2e9, onSize, onProgress, signal } = options;
  const chosen = Object.fromEntries([...chosenFormats(weights)].map(([part, { name }]) => [part, name]));
  await checkIsCheckpoint(folder);
  const { json, config } = await readConfig(folder);
  const checkpoint = await openCheckpoint(folder);
  const [packed] = checkpoint.packed.values();
  if (packed)
    throw new CheckpointError(
      `${folder.location}: it is quantised already (${packed.name} is ${packed.format.name}); give the checkpoint that it was made from`,
    );
  const specs = weightSpecs(config);
  const unread = unreadTensors(config);
  const ignored = checkSpecs(checkpoint, specs, unread);
  await checkTied(checkpoint, unread.tied ?? {}, signal);

  const items = inFileOrder(itemsOf(checkpoint, specs, chosenFormat(weights)));
  if (items.every(({ format, stored }) => format === stored.format))
    throw new InputError(
      `weights: no matrix of ${folder.location} would change: each is of that format already, or has rows that are not of whole groups`,
    );
  const shards = planShards(items, shardBytes);
  const settings: string[] = [];
  for (const name of settingsFiles) if (await folder.has(name)) settings.push(name);
  const copied = settings.filter((name) => name !== 'config.json');
  let size = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  for (const name of settings) size += await folder.size(name);
  await onSize?.(size);

  const total = items.reduce((sum, { stored }) => sum + lengthOf(stored), 0);
  let done = 0;
  onProgress?.(done, total);
  const onRead = (bytes: number) => {
    done += bytes;
    onProgress?.(done, total);
  };
  const files: { name: string; bytes: number }[] = [];
  const write = async (name: string, pieces: AsyncIterable<Uint8Array>) => {
    signal?.throwIfAborted();
    let bytes = 0;
    let isWhole = false;
    const counted = async function* () {
      for await (const piece of pieces) {
        signal?.throwIfAborted();
        bytes += piece.length;
        yield piece;
      }
      isWhole = true;
    };
    await options.write(name, counted());
    if (!isWhole) throw new InputError(`write: ${name} was not read to its end; await every piece of it`);
    files.push({ name, bytes });
  };

  const gpu = options.gpu ?? (await openGpu());
  try {
    const reader = new Reader(gpu, checkpoint, onRead, signal);
    const id = new PassingId();
    const layout = detectLayout(items.map(({ stored }) => stored.name));
    for (const shard of shards) await write(shard.name, shardPieces(shard, reader, id, layout));
    if (shards.length > 1) await write(indexFile, once(indexOf(shards)));
    for (const name of copied) await write(name, once(await folder.read(name)));
    const named = {
      quant_method: quantMethod,
      weights: chosen,
      model_id: await modelId(json, checkpoint, reader.hashes),
    } as const;
    const contents = await id.of({ ...(json as object), quantization_config: named });
    const entry: Quantisation = { ...named, contents_id: contents };
    // Last: without it the folder is no checkpoint.
    await write('config.json', once(jsonBytes({ ...(json as object), quantization_config: entry })));
    return {
      modelId: entry.model_id,
      files,
      formats: bytesByFormat(items),
      storedBytes: checkpoint.bytes,
      left: ignored.map(({ tensor }) => tensor.name),
    };
  } finally {
    if (!options.gpu) gpu.dispose();
  }
}

/** A tensor of the file that is written. */
interface OutTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

/** A tensor of the checkpoint, and what becomes of it. */
interface Item {
  readonly spec: TensorSpec;
  readonly stored: StoredAs;
  /** What its matrix becomes, or what it is. */
  readonly format: Format;
  readonly outputs: readonly OutTensor[];
  readonly bytes: number;
}

/** One for each tensor that is read, whatever parts of it the specs name. */
function itemsOf(
  checkpoint: Checkpoint,
  specs: readonly TensorSpec[],
  formatOf: (spec: TensorSpec, stored: Format) => Format,
): Item[] {
  const whole = new Map(specs.map(({ part, ...spec }) => [spec.name, spec]));
  return [...whole.values()].map((spec) => {
    const stored = storedAs(checkpoint, spec.name)!;
    const { name, shape } = stored;
    const format = spec.role === 'matrix' ? formatOf(spec, stored.format!) : stored.format!;
    const dtype = dtypeOf(format);
    const outputs = dtype ? [{ name, dtype, shape }] : packedTensors(name, format, matrixShape(shape));
    const bytes = outputs.reduce((sum, { dtype, shape }) => sum + byteLength(dtype, shape)!, 0);
    return { spec, stored, format, outputs, bytes };
  });
}

const lengthOf = ({ buffers }: StoredAs): number => buffers.reduce((sum, { start, end }) => sum + end - start, 0);

/** As they are read best; but those that would leave the next one in the midst of a 32-bit number come last. */
const inFileOrder = (items: readonly Item[]): Item[] =>
  [...items].sort((x, y) => {
    const [[a], [b]] = [x.stored.buffers, y.stored.buffers];
    const odd = Number(x.bytes % 4 !== 0) - Number(y.bytes % 4 !== 0);
    return odd || (a.file === b.file ? a.start - b.start : a.file < b.file ? -1 : 1);
  });

interface Shard {
  readonly name: string;
  readonly items: readonly Item[];
  readonly header: Uint8Array;
  /** Of the whole file. */
  readonly bytes: number;
}

/** All tensors in one file, or in as many as it takes. */
function planShards(items: readonly Item[], most: number): Shard[] {
  const groups: { items: Item[]; bytes: number }[] = [];
  for (const item of items) {
    const last = groups.at(-1);
    if (last && last.bytes + item.bytes <= most) {
      last.items.push(item);
      last.bytes += item.bytes;
    } else groups.push({ items: [item], bytes: item.bytes });
  }
  const digits = (n: number) => String(n).padStart(5, '0');
  return groups.map(({ items, bytes }, i) => {
    const metadata = { format: 'pt', [packingKey]: packingVersion };
    const header = safetensorsHeader(
      items.flatMap(({ outputs }) => outputs),
      metadata,
    );
    const name = groups.length === 1 ? singleFile : `model-${digits(i + 1)}-of-${digits(groups.length)}.safetensors`;
    return { name, items, header, bytes: header.length + bytes };
  });
}

const jsonBytes = (json: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(json, undefined, 2)}\n`);

function indexOf(shards: readonly Shard[]): Uint8Array {
  const entries = shards.flatMap(({ name, items }) =>
    items.flatMap(({ outputs }) => outputs.map((tensor) => [tensor.name, name] as const)),
  );
  const total_size = shards.reduce((sum, { items }) => sum + items.reduce((bytes, item) => bytes + item.bytes, 0), 0);
  return jsonBytes({ metadata: { total_size }, weight_map: Object.fromEntries(entries) });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The bytes of a file of weights. */
async function* shardPieces(
  { header, items }: Shard,
  reader: Reader,
  id: PassingId,
  layout: ReturnType<typeof detectLayout>,
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const item of items)
    for await (const { output, pieces } of reader.outputs(item)) {
      const tensor = { ...output, canonical: canonicalName(output.name, layout) };
      yield* id.pass(tensor, byteLength(output.dtype, output.shape)!, pieces);
    }
}

/** Reads tensors of a checkpoint as they are to be written. */
class Reader {
  readonly #gpu: Gpu;
  readonly #checkpoint: Checkpoint;
  readonly #onRead: (bytes: number) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #seen = new SeenTensors();
  /** Of tensors that were read: for `modelId`. */
  readonly hashes = this.#seen.hashes;

  constructor(gpu: Gpu, checkpoint: Checkpoint, onRead: (bytes: number) => void, signal?: AbortSignal) {
    this.#gpu = gpu;
    this.#checkpoint = checkpoint;
    this.#onRead = onRead;
    this.#signal = signal;
  }

  /** What an item becomes; the pieces of one are read before the next is asked for. */
  async *outputs(item: Item): AsyncGenerator<{ output: OutTensor; pieces: AsyncIterable<Uint8Array> }> {
    const { spec, stored, format, outputs } = item;
    if (format === stored.format) {
      yield { output: outputs[0], pieces: this.#asStored(stored) };
      return;
    }
    // By the same code as for a run, so that the numbers are the same.
    let before = 0;
    const loaded = await loadTensors(this.#gpu, onlyOf(this.#checkpoint, spec.name), [spec], {
      visionLayers: 0,
      formatOf: () => format,
      signal: this.#signal,
      onProgress: ({ loaded }) => {
        this.#onRead(loaded - before);
        before = loaded;
      },
    });
    for (const [tensor, hashes] of loaded.hashes) this.hashes.set(tensor, hashes);
    try {
      const { parts } = loaded.matrix(spec.name);
      for (const [index, output] of outputs.entries())
        yield {
          output,
          pieces: this.#fromGpu(
            parts.map(({ shape, buffers }) => ({
              tensor: buffers[index],
              bytes: bufferBytes(format.buffers(shape)[index]),
            })),
          ),
        };
    } finally {
      loaded.destroy();
    }
  }

  async *#asStored({ buffers: [tensor] }: StoredAs): AsyncGenerator<Uint8Array> {
    const { file, start, end } = tensor;
    const { folder } = this.#checkpoint;
    for (let at = start; at < end; at += chunkBytes) {
      const bytes = await readRange(folder, file, at, Math.min(end, at + chunkBytes));
      this.#onRead(bytes.length);
      await this.#seen.take(tensor, at, bytes);
      yield bytes;
    }
  }

  async *#fromGpu(buffers: readonly { tensor: Tensor; bytes: number }[]): AsyncGenerator<Uint8Array> {
    for (const { tensor, bytes } of buffers)
      for (let at = 0; at < bytes; at += chunkBytes) {
        const length = Math.min(chunkBytes, bytes - at);
        const rec = this.#gpu.record('read converted weights');
        const read = rec.read({ ...tensor, dtype: 'u32', shape: [Math.ceil(length / 4)], offset: tensor.offset + at });
        await rec.submit();
        yield read.bytes!.subarray(0, length);
      }
  }
}

/** A checkpoint that has one tensor. */
const onlyOf = (checkpoint: Checkpoint, name: string): Checkpoint => ({
  ...checkpoint,
  tensors: new Map([[name, checkpoint.tensors.get(name)!]]),
});

function bytesByFormat(items: readonly Item[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { format, bytes } of items) found[format.name] = (found[format.name] ?? 0) + bytes;
  return found;
}
