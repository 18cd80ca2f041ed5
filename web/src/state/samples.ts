// The tasks that come with the embedded checkpoint.
import { batch } from '@preact/signals';
import { addClasses, addQueries, clearProject, type NamedFile, question } from './project.ts';

export interface SampleTask {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly question: string;
}

/** Pictures of each class, and queries of each: enough to see it work, soon done. */
const perClass = { train: 12, test: 4 };

const folder = new URL('tiny-llava/tasks/', document.baseURI);

async function get(name: string): Promise<Response> {
  const response = await fetch(new URL(name, folder)).catch((error: Error) => {
    throw new Error(
      `${name}: the server does not answer, and sample tasks are not kept in the browser (${error.message})`,
    );
  });
  if (!response.ok) throw new Error(`${name}: the server answered ${response.status}`);
  return response;
}

/** Tasks whose rows show one picture and ask one question. */
export async function sampleTasks(): Promise<SampleTask[]> {
  const { tasks } = (await (await get('tasks.json')).json()) as { tasks: SampleTask[] };
  return tasks.filter(({ question }) => typeof question === 'string');
}

/** Puts a task's pictures in the place of what is there. */
export async function useSample({ name, question: asked }: SampleTask): Promise<void> {
  const [train, test] = await Promise.all([rows(`${name}.train.jsonl`), rows(`${name}.test.jsonl`)]);
  const training = await byLabel(train, perClass.train);
  const queries = [...(await byLabel(test, perClass.test)).values()].flat();
  batch(() => {
    clearProject();
    question.value = asked;
    addClasses(training);
    addQueries(queries);
  });
}

interface SampleRow {
  readonly image: string;
  readonly label: string;
}

const rows = async (name: string): Promise<SampleRow[]> =>
  (await (await get(name)).text())
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** The first pictures of each label. */
async function byLabel(all: readonly SampleRow[], count: number): Promise<Map<string, NamedFile[]>> {
  const found = new Map<string, NamedFile[]>();
  for (const label of new Set(all.map((row) => row.label)))
    found.set(
      label,
      await Promise.all(
        all
          .filter((row) => row.label === label)
          .slice(0, count)
          .map(async ({ image }) => ({ name: image.split('/').at(-1)!, file: await (await get(image)).blob() })),
      ),
    );
  return found;
}
