// The project file: safetensors, as classifier files are, so that what reads those, and Python, reads it too (ADR 25).
//
//   pictures.0, pictures.1, …  U8 [bytes]                    the pictures' files
//   vectors.0, …               F32 [nLayers, nHeads, dHead]  head vectors of those pictures that have some
//   __metadata__  format, version, and under `project` the rest of Project as JSON: names and labels in the pictures' order
import * as s from '../base/schema.ts';
import { type StoredTensor, tensorOf } from '../checkpoint/safetensors-writer.ts';
import { DataError } from './errors.ts';
import type { Project } from './project.ts';
import {
  bytesOf,
  checkTensors,
  copyOf,
  type FileKind,
  modelEntries,
  openSettingsFile,
  refusalSchema,
  writeSettingsFile,
} from './settings-file.ts';

/** How project files are called: `pets.headlight`. Classifier files have the same bytes before their names. */
export const projectExtension = '.headlight';

/** More are rather not what a person has labelled. */
const maxPictures = 2 ** 16;

const settingsSchema = s.strictObject({
  question: s.string(1, 1_000_000),
  fit: s.strictObject({
    k: s.optional(s.union([s.literal('auto'), s.int(1)], 'expected a number of heads, or "auto"')),
    refusal: s.optional(refusalSchema),
  }),
  pictures: s.list(
    s.strictObject({ name: s.string(1, 10_000), label: s.optional(s.string(1, 10_000)) }),
    0,
    maxPictures,
  ),
  vectorsOf: s.optional(s.strictObject(modelEntries)),
});

const kind: FileKind<typeof settingsSchema> = {
  format: 'headlight-project',
  versions: ['1'],
  key: 'project',
  what: 'a project',
  schema: settingsSchema,
  disagreements: () => [],
};

/**
 * A project as the bytes of its file. The same project gives the same bytes.
 * @throws DataError for a name or setting that a project cannot have.
 */
export function encodeProject(project: Project): Uint8Array<ArrayBuffer> {
  const fail = (problem: string) => new DataError(`the project cannot be written: ${problem}`);
  const { pictures, vectorsOf } = project;
  const tensors = pictures.flatMap(({ bytes, vectors }, i): StoredTensor[] => {
    const file: StoredTensor = { name: `pictures.${i}`, dtype: 'U8', shape: [bytes.length], data: bytes };
    if (!vectors) return [file];
    if (!vectorsOf) throw fail(`picture ${i + 1} has head vectors, and the project does not say of which model`);
    const { nLayers, nHeads, dHead } = vectorsOf;
    return [file, tensorOf(`vectors.${i}`, [nLayers, nHeads, dHead], vectors)];
  });
  const named = pictures.map(({ name, label }) => ({ name, label }));
  return writeSettingsFile(kind, { ...project, pictures: named }, tensors, fail);
}

/**
 * A project from the bytes of its file, which are checked before they are believed. Whether a picture can be decoded is found when it
 * is shown to a model (`findUnreadable` finds it before).
 * @param name the file's name, for messages
 * @returns pictures that are views of `bytes`.
 * @throws DataError naming the file and the problem.
 */
export function decodeProject(bytes: Uint8Array, name: string): Project {
  const fail = (problem: string) => new DataError(`${name}: ${problem}; save the project again`);
  const file = openSettingsFile(kind, bytes, name, fail);
  const { pictures, vectorsOf, ...settings } = file.settings;
  const { tensors } = file.header;
  const expected = pictures.flatMap((_, i) => [`pictures.${i}`, ...(vectorsOf ? [`vectors.${i}`] : [])]);
  checkTensors(file, new Set(expected), 'no such project');
  return {
    ...settings,
    vectorsOf,
    pictures: pictures.map((picture, i) => {
      const size = tensors.get(`pictures.${i}`)?.shape[0] ?? 0;
      return {
        ...picture,
        bytes: bytesOf(file, `pictures.${i}`, 'U8', [size]),
        vectors: vectorsOf && tensors.has(`vectors.${i}`) ? vectorsAt(`vectors.${i}`) : undefined,
      };
    }),
  };

  function vectorsAt(tensor: string): Float32Array {
    const { nLayers, nHeads, dHead } = vectorsOf!;
    const values = new Float32Array(copyOf(file, tensor, 'F32', [nLayers, nHeads, dHead]));
    if (!values.every(Number.isFinite)) throw fail(`${tensor} holds a value that is not finite`);
    return values;
  }
}
