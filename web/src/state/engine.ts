// The model in its worker: what is open, what runs, and what came of it.
import { batch, computed, signal } from '@preact/signals';
import { type CallContext, Caller, type Listening, type Progress, type Said, type Told } from '../worker/calls.ts';
import type {
  Answered,
  FitSettings,
  Fitted,
  LabelledRow,
  ModelSource,
  OpenModel,
  Unreadable,
  WorkerCalls,
} from '../worker/work.ts';
import { classes, missing, type Picture, queries, question, trainingKey } from './project.ts';

/** A piece of work that the user waits for. */
export interface Job {
  readonly progress: Progress;
  /** Absent where it cannot be ended. */
  readonly cancel?: () => void;
}

export const model = signal<OpenModel | undefined>(undefined);
export const job = signal<Job | undefined>(undefined);
/** What went wrong last, for people. */
export const problem = signal<string | undefined>(undefined);
/** Why the GPU is gone; the page must open it again. */
export const lost = signal<string | undefined>(undefined);
export const fitted = signal<Fitted | undefined>(undefined);
/** What the model is asked about pictures: what the classifier was fitted with, where there is one. */
export const asked = computed(() => fitted.value?.question ?? question.value);
/** What the fit was made from; undefined for a classifier from a file. */
const fittedKey = signal<string | undefined>(undefined);
/** The file that the classifier was read from; undefined for one that was fitted here. */
export const classifierFile = signal<{ readonly name: string; readonly bytes: Uint8Array } | undefined>(undefined);
/** What the classifier says of each query, by its id. */
export const answers = signal<ReadonlyMap<number, Answered>>(new Map());
/** Pictures that the model cannot be shown, by their id, and why. */
export const unreadable = signal<ReadonlyMap<number, string>>(new Map());
/** How the next fit is made. */
export const settings = signal<FitSettings>({ k: 'auto', refusal: {} });

/** Changes with whatever a fit depends on. */
const fitKey = computed(() => trainingKey.value + JSON.stringify(settings.value));

/** Whether the classifier was fitted on other pictures than those that are there now. */
export const outdated = computed(
  () => fitted.value !== undefined && fittedKey.value !== undefined && fittedKey.value !== fitKey.value,
);

/** The checkpoint that comes with the page. */
export const embedded: ModelSource = { name: 'tiny-llava', at: new URL('tiny-llava/', document.baseURI).href };
/** The checkpoint that was opened last. */
export const opened = signal(embedded);
let caller: Caller<WorkerCalls> | undefined;
let worker: Worker | undefined;

/** Asks the worker, which is started with the first call. */
export function ask<N extends keyof WorkerCalls & string>(
  name: N,
  takes: WorkerCalls[N]['takes'],
  context: Listening<Told<WorkerCalls, N>> = {},
): Promise<WorkerCalls[N]['gives']> {
  if (!caller) {
    worker = new Worker(new URL('../worker/main.ts', import.meta.url), { type: 'module' });
    caller = new Caller(worker, hear);
  }
  return caller.call(name, takes, context);
}

function hear(said: Said): void {
  if ('lost' in said) lost.value = said.lost || 'the device was lost';
  else problem.value = said.note;
}

/** Runs a piece of work that the user waits for; one at a time. What goes wrong is shown. @returns undefined where it did. */
export async function work<T>(phase: string, run: (context: Required<CallContext>) => Promise<T>) {
  if (job.value) return undefined;
  const controller = new AbortController();
  const cancel = () => controller.abort();
  const isMine = () => job.value?.cancel === cancel; // after Reopen another one may run
  const onProgress = (progress: Progress) => {
    if (isMine()) job.value = { progress, cancel };
  };
  batch(() => {
    problem.value = undefined;
    job.value = { progress: { phase, done: 0, total: 0 }, cancel };
  });
  try {
    return await run({ signal: controller.signal, onProgress });
  } catch (error) {
    if (!controller.signal.aborted) problem.value = (error as Error).message;
    return undefined;
  } finally {
    if (isMine()) job.value = undefined;
  }
}

/** Opens a checkpoint in the place of the one that is open. @returns whether it is open. */
export async function openModel(source: ModelSource): Promise<boolean> {
  if (!(await open(source))) return false;
  opened.value = source;
  classifierFile.value = undefined;
  return true;
}

/** @returns whether it is open. */
async function open(source: ModelSource): Promise<boolean> {
  const found = await work('starting', (context) => ask('open', source, context));
  if (!found) return false;
  batch(() => {
    model.value = found;
    forget();
  });
  return true;
}

/** Opens the model, and makes the classifier again that there was. */
export async function start(wasFitted: boolean): Promise<void> {
  const file = classifierFile.value;
  if (!(await open(opened.value))) return;
  if (file) await readClassifier(file.name, file.bytes);
  else if (wasFitted) await fitClasses();
}

/** A new worker, GPU and model after the old GPU is gone; pictures and classes stay. */
export async function reopen(): Promise<void> {
  job.value?.cancel?.(); // its answer will not come
  worker?.terminate();
  [worker, caller] = [undefined, undefined];
  batch(() => {
    lost.value = undefined;
    job.value = undefined;
    model.value = undefined;
  });
  await start(fitted.value !== undefined);
}

/** Forgets the classifier, and what it has said. */
export function forget(): void {
  fitted.value = undefined;
  fittedKey.value = undefined;
  answers.value = new Map();
}

/** Fits a classifier on the classes, and classifies the queries by it. */
export async function fitClasses(): Promise<void> {
  if (missing.value || !model.value) return;
  const key = fitKey.value;
  const rows = classes.value.flatMap(({ name, pictures }): LabelledRow[] =>
    pictures.map((picture) => ({ ...rowOf(picture), label: name.trim() })),
  );
  const found = await work('training pictures', (context) =>
    ask('fit', { question: question.value, rows, options: settings.value }, context),
  );
  if (!found) return;
  batch(() => {
    fitted.value = found;
    fittedKey.value = key;
    classifierFile.value = undefined;
    answers.value = new Map();
    setAside(found.unreadable);
  });
  await classify();
}

const setAside = (found: readonly Unreadable[]) => {
  unreadable.value = new Map([...unreadable.value, ...found.map(({ id, problem }) => [id, problem] as const)]);
};

const waitingQueries = () => queries.value.filter(({ id }) => !answers.value.has(id) && !unreadable.value.has(id));

/** Classifies the queries that have no answer yet. */
export async function classify(): Promise<void> {
  const waiting = waitingQueries();
  if (!fitted.value || !waiting.length) return;
  const found = await work('pictures', (context) =>
    ask('classify', { rows: waiting.map(rowOf), question: asked.value }, context),
  );
  if (!found) return;
  batch(() => {
    answers.value = new Map([...answers.value, ...found.answers.map((answer) => [answer.id, answer] as const)]);
    setAside(found.unreadable);
  });
  if (waitingQueries().length) await classify(); // dropped meanwhile
}

/** Takes a classifier from its file. */
export async function readClassifier(name: string, bytes: Uint8Array): Promise<void> {
  const found = await work('reading the classifier', () => ask('read', { bytes, name }));
  if (!found) return;
  batch(() => {
    forget();
    fitted.value = found;
    classifierFile.value = { name, bytes };
    if (found.question !== undefined) question.value = found.question;
  });
  await classify();
}

export const rowOf = ({ id, name, file }: Picture) => ({ id, name, file });
