// Head vectors of the tasks that come with tiny-llava, and of queries that are far from every class of theirs: pictures of
// one grey, of noise, and of the other tasks, each under the task's own question.

import { openFolder } from 'headlight-vlm';
import {
  type Example,
  extractFeatures,
  type FeatureStore,
  type HeadFeatures,
  type HeadVectorSource,
  readExamples,
} from 'headlight-vlm/sav';
import sharp from 'sharp';
import { seeded } from '../../docs/examples/lib/scenes.ts';

export interface MeasuredTask {
  readonly name: string;
  readonly train: { features: HeadFeatures; labels: string[] };
  readonly test: { features: HeadFeatures; labels: string[] };
  readonly far: Record<'grey' | 'noise' | 'other tasks', HeadFeatures>;
}

const side = 48;
/** Pictures taken of each other task. */
const perOtherTask = 8;

export async function measuredTasks(
  model: HeadVectorSource,
  options: { store?: FeatureStore; onTask?: (name: string) => void } = {},
): Promise<MeasuredTask[]> {
  const folder = await openFolder('weights/tiny-llava/tasks');
  const list = JSON.parse(new TextDecoder().decode(await folder.read('tasks.json'))) as { tasks: { name: string }[] };
  const names = list.tasks.map(({ name }) => name);
  const rows = new Map<string, { train: Example[]; test: Example[] }>();
  for (const name of names) {
    const read = (part: string) => readExamples(folder, `${name}.${part}.jsonl`);
    rows.set(name, { train: await read('train'), test: await read('test') });
  }
  const greys = await Promise.all([40, 84, 128, 172, 216].map((value) => picture(() => value)));
  const noises = await Promise.all(
    Array.from({ length: 10 }, (_, seed) => {
      const random = seeded(seed + 1);
      return picture(() => Math.floor(256 * random()));
    }),
  );
  const measured: MeasuredTask[] = [];
  for (const name of names) {
    options.onTask?.(name);
    const { train, test } = rows.get(name)!;
    const { prompt } = test[0];
    const shown = (kind: string, images: Uint8Array[]) =>
      images.map((image, i): Example => {
        const source = `${kind} ${i}`;
        return { source, prompt, images: [source], loadImages: async () => [image] };
      });
    const others = names
      .filter((other) => other !== name)
      .flatMap((other) =>
        rows
          .get(other)!
          .test.slice(0, perOtherTask)
          .map((row) => ({ ...row, prompt })),
      );
    const vectors = (examples: Example[]) => extractFeatures(model, examples, { store: options.store });
    const labels = (examples: Example[]) => examples.map(({ label }) => label!);
    measured.push({
      name,
      train: { features: await vectors(train), labels: labels(train) },
      test: { features: await vectors(test), labels: labels(test) },
      far: {
        grey: await vectors(shown('grey', greys)),
        noise: await vectors(shown('noise', noises)),
        'other tasks': await vectors(others),
      },
    });
  }
  return measured;
}

/** A PNG whose bytes are `value()`, one after another. */
async function picture(value: () => number): Promise<Uint8Array> {
  const data = Uint8Array.from({ length: side * side * 3 }, value);
  return sharp(data, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}
