// Pictures of the embedded checkpoint's task on warm and cool colours, as a project has them.
import { readFileSync } from 'node:fs';
import type { Project } from '../src/sav/project.ts';

/** The first pictures of each label: `train` of them with it, and as many as `test` says to be classified. */
export function firstPictures(train: number, test: number): Project['pictures'] {
  const rows = readFileSync('weights/tiny-llava/tasks/warm-cool.train.jsonl', 'utf8').trim().split('\n');
  const all = rows.map((line): { image: string; label: string } => JSON.parse(line));
  return ['warm', 'cool'].flatMap((label) =>
    all
      .filter((row) => row.label === label)
      .slice(0, train + test)
      .map(({ image }, i) => ({
        name: image.split('/').at(-1)!,
        label: i < train ? label : undefined,
        bytes: new Uint8Array(readFileSync(`weights/tiny-llava/tasks/${image}`)),
      })),
  );
}
