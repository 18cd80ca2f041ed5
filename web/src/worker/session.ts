// One model on one GPU, and the classifier that was fitted on it last.
import {
  type CheckpointPrice,
  type CheckpointStore,
  type FolderSource,
  type Gpu,
  type KeptCheckpoint,
  openCheckpointStore,
  openFolder,
  openGpu,
  priceCheckpoint,
  VisionLanguageModel,
} from 'headlight-vlm';
import {
  auditLabels,
  decodeClassifier,
  decodeProject,
  describeOtherModel,
  type Example,
  encodeClassifier,
  encodeProject,
  evaluate,
  extractFeatures,
  type FeatureStore,
  type Fit,
  findUnreadable,
  fitClassifier,
  type HeadFeatures,
  MemoryFeatureStore,
  nearestTrainingExample,
  type Project,
  projectStore,
  type SavClassifier,
  withKnownVectors,
} from 'headlight-vlm/sav';
import { adapterName } from '../parts/adapter.ts';
import type { CallContext, Listening } from './calls.ts';
import type { Inside } from './inside.ts';
import type {
  Answered,
  Asked,
  Classified,
  FitRequest,
  Fitted,
  Judged,
  LabelledRow,
  LensRow,
  Looked,
  LookRequest,
  ModelSource,
  NamedBytes,
  OpenedProject,
  OpenModel,
  ProjectRequest,
  Row,
  Tried,
  TryRequest,
  WriteRequest,
  WrittenToken,
} from './work.ts';

type Context = Required<CallContext>;

/** The pictures that a classifier was fitted on. */
interface Training {
  readonly rows: readonly LabelledRow[];
  readonly features: HeadFeatures;
}

const labelsOf = (rows: readonly LabelledRow[]) => rows.map(({ label }) => label);

export class Session {
  readonly #onLost: (reason: string) => void;
  readonly #onNote: (note: string) => void;
  #gpu: Gpu | undefined;
  #model: VisionLanguageModel | undefined;
  #classifier: SavClassifier | undefined;
  #training: Training | undefined;
  /** Head vectors by question and picture: a picture is shown to the model once. */
  #kept: FeatureStore;
  /** The same, and those that came with the project that is open. */
  #store: FeatureStore;
  /** The picture that was looked into last. */
  #looked: { readonly key: string; readonly inside: Promise<Inside> } | undefined;

  /**
   * @param onLost told once the GPU is lost.
   * @param onNote told what the user should know.
   * @param store where head vectors are kept.
   */
  constructor(onLost: (reason: string) => void, onNote: (note: string) => void, store: FeatureStore) {
    this.#onLost = onLost;
    this.#onNote = onNote;
    this.#kept = this.#store = store;
  }

  async keepNothing(): Promise<undefined> {
    this.#kept = this.#store = new MemoryFeatureStore();
    return undefined;
  }

  async open({ at, name, weights, isKept }: ModelSource, { signal, onProgress }: Context): Promise<OpenModel> {
    onProgress({ phase: 'opening the GPU', done: 0, total: 0 });
    const gpu = await this.#openGpu();
    const model = await VisionLanguageModel.load(isKept ? await this.#keeping(at as string) : at, {
      ...{ gpu, weights, signal },
      onProgress: (done, total, part) => onProgress({ phase: `loading ${part}`, done, total }),
    });
    this.#close();
    this.#model?.destroy();
    [this.#model, this.#classifier, this.#training] = [model, undefined, undefined];
    this.#store = this.#kept;
    await model.warmUp(undefined, {
      ...{ signal, onProgress: (done, total) => onProgress({ phase: 'compiling kernels', done, total }) },
    });
    const { nLayers, nHeads, dHead } = model;
    const { capabilities } = gpu;
    return { name, nLayers, nHeads, dHead, adapter: adapterName(capabilities), software: capabilities.software };
  }

  async price({ at }: ModelSource): Promise<CheckpointPrice> {
    return priceCheckpoint(at, { adapter: (await this.#openGpu()).capabilities });
  }

  async kept(): Promise<readonly KeptCheckpoint[]> {
    return (await this.#checkpoints()).list();
  }

  async free(name: string): Promise<undefined> {
    await (await this.#checkpoints()).free(name);
    return undefined;
  }

  #checkpoints(): Promise<CheckpointStore> {
    return openCheckpointStore({ onNote: ({ message }) => this.#onNote(message) });
  }

  /** What is read of it is kept in this browser, and not asked for again. */
  async #keeping(url: string): Promise<FolderSource> {
    return (await this.#checkpoints()).keep(await openFolder(url), url);
  }

  async #openGpu(): Promise<Gpu> {
    if (!this.#gpu) {
      this.#gpu = await openGpu();
      void this.#gpu.lost.then(({ details }) => this.#onLost(details));
    }
    return this.#gpu;
  }

  async fit({ question, rows: given, options }: FitRequest, { signal, onProgress }: Context): Promise<Fitted> {
    const context = { signal, onProgress };
    const found = await this.#features(question, given, 'training pictures', context);
    const { rows, features, unreadable, forwards } = found;
    const labels = labelsOf(rows);
    const fit = await fitClassifier(features, labels, {
      ...{ ...options, prompt: question, images: 1, signal },
      onProgress: (done, total, phase) => onProgress({ phase, done, total }),
    });
    this.#training = { rows, features };
    this.#classifier = fit.classifier;
    const { counts } = fit.classifier.data;
    const doubts = counts.every((n) => n >= 2) ? auditLabels(fit.classifier, features, labels) : [];
    return {
      ...described(fit.classifier),
      correct: fit.ranking.correct,
      judged: judgedBy(fit, rows),
      doubts: doubts.map(({ index, suggested, against, heads }) => ({
        ...{ id: rows[index].id, suggested, against, heads },
      })),
      notes: fit.notes,
      unreadable,
      forwards,
    };
  }

  async classify(
    { rows, question }: { readonly rows: readonly Row[]; readonly question: string },
    context: Context,
  ): Promise<Classified> {
    const { rows: readable, features, unreadable } = await this.#features(question, rows, 'pictures', context);
    return { answers: readable.map((row, i) => this.#answer(row.id, features.vectors[i])), unreadable };
  }

  async look({ head, ...asked }: LookRequest): Promise<Looked> {
    return (await this.#inside(asked)).look(head);
  }

  async lens(asked: Asked): Promise<readonly LensRow[]> {
    return (await this.#inside(asked)).lens();
  }

  async try({ changes, ...asked }: TryRequest): Promise<Tried> {
    const { next, vectors } = await (await this.#inside(asked)).outcome(changes, this.#classifier);
    return { next, answer: this.#classifier && this.#answer(asked.row.id, vectors) };
  }

  async write(
    { head, changes, ...asked }: WriteRequest,
    { signal, onTold }: Required<Listening<WrittenToken>>,
  ): Promise<undefined> {
    const inside = await this.#inside(asked);
    await inside.write(head, changes, this.#classifier, { signal, onToken: onTold });
    return undefined;
  }

  async save(): Promise<Uint8Array<ArrayBuffer>> {
    return encodeClassifier(this.#fitted());
  }

  /** With the head vectors that are known of the model that is open, if one is. */
  async saveProject({ question, fit, rows }: ProjectRequest): Promise<Uint8Array<ArrayBuffer>> {
    const pictureOf = async ({ name, label, file }: ProjectRequest['rows'][number]) => ({
      ...{ name, label, bytes: new Uint8Array(await file.arrayBuffer()) },
    });
    const project: Project = { question, fit, pictures: await Promise.all(rows.map(pictureOf)) };
    return encodeProject(this.#model ? await withKnownVectors(project, this.#model, this.#store) : project);
  }

  async openProject({ bytes, name }: NamedBytes): Promise<OpenedProject> {
    const project = decodeProject(bytes, name);
    const { question, fit, pictures } = project;
    const model = this.#model;
    const other = model && describeOtherModel(project, model);
    if (model) this.#store = await projectStore(project, model, this.#kept);
    return {
      question,
      fit,
      pictures: pictures.map(({ name, label, bytes }) => ({
        ...{ name, label, file: new Blob([bytes as Uint8Array<ArrayBuffer>]) },
      })),
      isKnown: model !== undefined && !other && pictures.every(({ vectors }) => vectors),
      note: other && `${name}: ${other}`,
    };
  }

  async read({ bytes, name }: NamedBytes): Promise<Fitted> {
    this.#classifier = decodeClassifier(bytes, name, this.#open());
    this.#training = undefined;
    return { ...described(this.#classifier), doubts: [], notes: [], unreadable: [], forwards: 0 };
  }

  /** Head vectors of the pictures that can be read. */
  async #features<T extends Row>(question: string, given: readonly T[], phase: string, context: Context) {
    const { signal, onProgress } = context;
    const examples = given.map((row) => exampleOf(row, question));
    const found = await findUnreadable(examples, { signal });
    const bad = new Set(found.map(({ index }) => index));
    const isReadable = (_: unknown, i: number) => !bad.has(i);
    let forwards = 0;
    const features = await extractFeatures(this.#open(), examples.filter(isReadable), {
      store: this.#store,
      signal,
      onProgress: (done, total, cached) => {
        forwards = done - cached;
        onProgress({ phase, done, total });
      },
    });
    const unreadable = found.map(({ index, problem }) => ({ id: given[index].id, problem }));
    return { rows: given.filter(isReadable), features, unreadable, forwards };
  }

  #answer(id: number, vectors: Float32Array): Answered {
    const classifier = this.#fitted();
    const training = this.#training;
    const nearest =
      training &&
      nearestTrainingExample(classifier, vectors, { features: training.features, labels: labelsOf(training.rows) });
    return {
      ...classifier.classify(vectors),
      id,
      nearest: nearest && { id: training.rows[nearest.index].id, similarity: nearest.similarity },
    };
  }

  #inside({ row, question }: Asked): Promise<Inside> {
    const key = `${row.id} ${question}`;
    if (this.#looked?.key !== key) {
      this.#close();
      const open = async () => (await import('./inside.ts')).Inside.open(this.#open(), row, question);
      const inside = open();
      this.#looked = { key, inside };
      inside.catch(() => {
        this.#looked = undefined;
      });
    }
    return this.#looked!.inside;
  }

  /** Frees the picture that was looked into last. */
  #close(): void {
    this.#looked?.inside.then(
      ({ close }) => close(),
      () => {}, // told to whoever looked
    );
    this.#looked = undefined;
  }

  #open(): VisionLanguageModel {
    if (!this.#model) throw new Error('no model is open');
    return this.#model;
  }

  #fitted(): SavClassifier {
    if (!this.#classifier) throw new Error('no classifier is fitted');
    return this.#classifier;
  }
}

const exampleOf = ({ name, file }: Row, prompt: string): Example => ({
  source: name,
  prompt,
  images: [name],
  loadImages: async () => [new Uint8Array(await file.arrayBuffer())],
});

function described({ data }: SavClassifier): Pick<Fitted, 'question' | 'labels' | 'counts' | 'heads' | 'nExamples'> {
  const { prompt, labels, counts, heads, nExamples } = data;
  return { question: prompt, labels, counts, heads, nExamples };
}

/** Leave-one-out over the pictures that could be left out; undefined where none could. */
function judgedBy({ judged, classifier }: Fit, rows: readonly LabelledRow[]): Judged | undefined {
  if (!judged) return undefined;
  const { labels } = classifier.data;
  const predicted = rows.flatMap(({ id, label: truth }, i) =>
    judged.predicted[i] < 0 ? [] : [{ id, truth, label: labels[judged.predicted[i]] }],
  );
  const { n, correct, interval, chance, confusion, recall } = evaluate(
    predicted.map(({ truth }) => truth),
    predicted.map(({ label }) => label),
    labels,
  );
  return { predicted, n, correct, interval, chance, confusion, recall };
}
