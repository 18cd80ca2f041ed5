import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decodeFloats, decodeIntegers } from '../src/checkpoint/decode.ts';
import { parseSafetensors, tensorBytes } from '../src/checkpoint/safetensors.ts';
import { readConfig } from '../src/model/families/read-config.ts';
import type { ModelInput, Visual } from '../src/model/input.ts';
import { Processor } from '../src/model/processor/processor.ts';
import type { Folder } from '../src/platform/types.ts';

const fixtures = new URL('./fixtures/', import.meta.url);

export const fixturePath = (name: string): string => fileURLToPath(new URL(name, fixtures));

export interface Expected {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** All tensors of a small safetensors file of test/fixtures/: floats as f32, integers as int32. */
export function readTensors(name: string): Map<string, Expected> {
  const bytes = new Uint8Array(readFileSync(fixturePath(name)));
  const header = parseSafetensors(name, bytes);
  return new Map(
    [...header.tensors.values()].map((info) => {
      const raw = tensorBytes(name, header, bytes, info.name);
      const data = /^[IUB]\d|^BOOL/.test(info.dtype) ? decodeIntegers(info, raw) : decodeFloats(info, raw);
      return [info.name, { data, shape: info.shape }];
    }),
  );
}

/** The processor of a checkpoint's folder, weights or none. */
export const loadProcessor = async (folder: Folder): Promise<Processor> =>
  Processor.load(folder, (await readConfig(folder)).config);

export const readJsonFixture = <T>(name: string): T => JSON.parse(readFileSync(fixturePath(name), 'utf8')) as T;

/** What a model runs on, from the tensors that are stored for an input (test/reference/README.md). */
export function modelInput(values: ReadonlyMap<string, Expected>, order?: readonly string[]): ModelInput {
  const ints = (name: string) => Array.from(values.get(name)?.data ?? []);
  const cut = (kind: Visual['kind'], tensor: string, counts: readonly number[]): Visual[] => {
    const all = values.get(tensor);
    if (!all) return [];
    const { data, shape } = all as { data: Float32Array; shape: readonly number[] };
    const width = data.length / shape[0];
    const grids = ints(kind === 'image' ? 'image_grid_thw' : 'video_grid_thw');
    const sizes = ints('image_sizes');
    const seconds = ints('second_per_grid_ts');
    let at = 0;
    return counts.map((count, i) => {
      const pixels = data.subarray(at * width, (at + count) * width);
      at += count;
      return {
        kind,
        pixels,
        shape: [count, ...shape.slice(1)],
        ...(grids.length && { grid: [grids[3 * i], grids[3 * i + 1], grids[3 * i + 2]] as const }),
        ...(kind === 'image' && sizes.length && { size: { height: sizes[2 * i], width: sizes[2 * i + 1] } }),
        ...(kind === 'video' && seconds.length && { secondsPerPatch: seconds[i] }),
      };
    });
  };
  const patches = (name: string) =>
    Array.from({ length: ints(name).length / 3 }, (_, i) => ints(name).slice(3 * i, 3 * i + 3)).map(
      ([t, h, w]) => t * h * w,
    );
  const crops = values.get('image_crops')
    ? ints('image_crops')
    : new Array<number>(values.get('pixel_values')?.shape[0] ?? 0).fill(1); // LLaVA-1.5
  const grids = values.has('image_grid_thw') || values.has('video_grid_thw');
  const found = {
    image: cut('image', 'pixel_values', grids ? patches('image_grid_thw') : crops),
    video: cut('video', 'pixel_values_videos', grids ? patches('video_grid_thw') : ints('video_frames')),
  };
  const visuals = order
    ? order.map((name) => {
        const [kind, index] = name.split(':') as [Visual['kind'], string];
        return found[kind][Number(index)];
      })
    : [...found.image, ...found.video];
  return { inputIds: values.get('input_ids')!.data, visuals };
}

/** The tiny random checkpoints that test/reference/ made. */
export const checkpointNames: readonly string[] = ['checkpoints', 'families'].flatMap((folder) =>
  readdirSync(fixturePath(folder))
    .sort()
    .map((name) => `${folder}/${name}`),
);

/** The folder with a checkpoint's expected values: a copy of another one under other names has that one's. */
export function valuesOf(checkpoint: string): string {
  const { same_as } = readJsonFixture<{ same_as?: string }>(`${checkpoint}/expected.json`);
  return same_as === undefined ? checkpoint : new URL(same_as, `file:///${checkpoint}`).pathname.slice(1);
}
