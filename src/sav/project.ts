// A project: a question, pictures with their classes and pictures to classify, and how a classifier is made of them.

import { quote } from '../base/quote.ts';
import { changedFiles } from '../checkpoint/made-with.ts';
import { promptOfPicture, type QuestionOptions } from './data.ts';
import { DataError } from './errors.ts';
import { decodeEntry, encodeEntry, type FeatureStore, MemoryFeatureStore } from './feature-cache.ts';
import { type Example, featureKey, type HeadFeatures, type HeadVectorSource } from './features.ts';
import type { FitOptions } from './fit.ts';

/** A picture of a project. */
export interface ProjectPicture {
  /** As its owner calls it. It is shown, and never used as a path. */
  readonly name: string;
  /** Its class; absent for a picture to classify. */
  readonly label?: string;
  /** The picture's file. */
  readonly bytes: Uint8Array;
  /** What the heads of the model `vectorsOf` make of it and of the project's question: [nLayers, nHeads, dHead]. */
  readonly vectors?: Float32Array;
}

/** The model that head vectors are of. */
export type VectorsOf = Omit<HeadFeatures, 'vectors' | 'contents'>;

/** What a project file holds. */
export interface Project {
  /** What the model is asked about each picture. */
  readonly question: string;
  /** How a classifier is made: options of `fitClassifier`. */
  readonly fit: Pick<FitOptions, 'k' | 'refusal'>;
  /** In the owner's order, which is also that of the classes. */
  readonly pictures: readonly ProjectPicture[];
  /** Present where pictures have head vectors. */
  readonly vectorsOf?: VectorsOf;
}

/** Which of a project's pictures are taken, and what is asked of them. */
export interface ProjectExamplesOptions extends QuestionOptions {
  /** 'required': pictures with a class. 'optional': all pictures. Default: 'required'. */
  readonly labels?: 'required' | 'optional';
}

/**
 * A project's pictures as examples, in its order. They are asked the project's question where `options` have none.
 * @param name the project file's name, for messages
 * @throws DataError where no picture has a class, and classes are required.
 */
export function projectExamples(project: Project, name: string, options: ProjectExamplesOptions = {}): Example[] {
  const { labels = 'required', question, prompt } = options;
  const asked = prompt === undefined ? (question ?? project.question) : question;
  const text = promptOfPicture({ ...options, question: asked });
  const pictures = project.pictures.filter(({ label }) => labels === 'optional' || label !== undefined);
  if (!pictures.length)
    throw new DataError(`${name}: no pictures ${labels === 'optional' ? 'in it' : 'with a class in it'}`);
  return pictures.map((picture) => exampleOf(picture, name, text));
}

const exampleOf = ({ name, label, bytes }: ProjectPicture, file: string, prompt: string): Example => ({
  ...{ source: `${file}/${name}`, prompt, images: [name], label },
  loadImages: async () => [bytes],
});

/** The project with the head vectors that a store has of its pictures and its question. The model does not run. */
export async function withKnownVectors(
  project: Project,
  model: HeadVectorSource,
  store: FeatureStore,
): Promise<Project> {
  const { modelId, precision, madeWith, nLayers, nHeads, dHead } = model;
  const known = async (picture: ProjectPicture): Promise<ProjectPicture> => {
    const entry = await store.get(await keyOf(picture, project, model));
    const found = entry && (await decodeEntry(entry, model));
    return { ...picture, vectors: found && 'values' in found ? found.values : undefined };
  };
  const pictures: ProjectPicture[] = [];
  for (const picture of project.pictures) pictures.push(await known(picture));
  const hasSome = pictures.some(({ vectors }) => vectors);
  return {
    ...project,
    pictures,
    vectorsOf: hasSome ? { modelId, precision, madeWith, nLayers, nHeads, dHead } : undefined,
  };
}

/**
 * A store that has the project's head vectors, for `extractFeatures`. They are believed, as those of a classifier file are, and are
 * not put into `store`: what a stranger's project says of a picture holds for that project alone.
 * @param store for all others; default: one that lasts as long as the program
 * @returns without vectors, where they are of another model: `describeOtherModel` says so.
 */
export async function projectStore(
  project: Project,
  model: HeadVectorSource,
  store: FeatureStore = new MemoryFeatureStore(),
): Promise<FeatureStore> {
  if (describeOtherModel(project, model) !== undefined) return store;
  const known = new MemoryFeatureStore();
  for (const picture of project.pictures)
    if (picture.vectors)
      await known.put(await keyOf(picture, project, model), await encodeEntry(picture.vectors, project.vectorsOf!));
  return {
    get: async (key) => (await known.get(key)) ?? store.get(key),
    put: (key, bytes) => store.put(key, bytes),
  };
}

/** Why a project's head vectors are not those of a model, in one line; undefined where they are, or there are none. */
export function describeOtherModel({ vectorsOf }: Project, model: HeadVectorSource): string | undefined {
  if (!vectorsOf) return undefined;
  const said = ({ modelId, precision }: Pick<VectorsOf, 'modelId' | 'precision'>) =>
    `${quote(modelId)}${precision ? `, ${precision}` : ''}`;
  const again = 'the model is shown the pictures again';
  if (vectorsOf.modelId !== model.modelId || (vectorsOf.precision ?? '') !== (model.precision ?? ''))
    return `its head vectors are of model ${said(vectorsOf)}, the model in use is ${said(model)}: ${again}`;
  const [before, now] = [vectorsOf.madeWith, model.madeWith];
  const isSame =
    (['nLayers', 'nHeads', 'dHead'] as const).every((size) => vectorsOf[size] === model[size]) &&
    before?.numerics === now?.numerics &&
    (!before || !now || changedFiles(before, now).length === 0);
  return isSame ? undefined : `its head vectors are of another version of this model or of Headlight: ${again}`;
}

const keyOf = (picture: ProjectPicture, { question }: Project, model: HeadVectorSource) =>
  featureKey(model, exampleOf(picture, '', question));
