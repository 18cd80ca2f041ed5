import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { visionEmbedding } from './vision-embedding.ts';

export interface VisionEmbeddingSizes {
  readonly images: number;
  /** Patches of an image. */
  readonly perImage: number;
  readonly columns: number;
  readonly classToken: boolean;
}

export function visionEmbeddingProblem({ images, perImage, columns, classToken }: VisionEmbeddingSizes): Problem {
  const before = classToken ? 1 : 0;
  const tokens = before + perImage;
  const patches = pseudoRandom(images * perImage * columns, 1);
  const classEmbedding = pseudoRandom(columns, 2);
  const position = pseudoRandom(tokens * columns, 3);
  return {
    name: `${images} x ${perImage} patches, ${columns} wide${classToken ? ', class token' : ''}`,
    shape: [images * tokens, columns],
    prepare(make) {
      const args = {
        patches: make('patches', 'f32', [images * perImage, columns], patches),
        classEmbedding: classToken ? make('classEmbedding', 'f32', [columns], classEmbedding) : undefined,
        position: make('position', 'f32', [tokens, columns], position),
        batch: images,
        label: 'y',
      };
      return (rec, options) => visionEmbedding(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        const [image, token] = placeOf(row, tokens);
        const own =
          token < before ? classEmbedding[column] : patches[(image * perImage + token - before) * columns + column];
        return own + position[token * columns + column];
      },
    }),
  };
}

export const visionEmbeddingProblems = () =>
  [
    { images: 1, perImage: 1, columns: 1, classToken: true },
    { images: 1, perImage: 36, columns: 128, classToken: true },
    { images: 3, perImage: 5, columns: 7, classToken: true },
    { images: 2, perImage: 13, columns: 65, classToken: true },
    { images: 1, perImage: 1, columns: 1, classToken: false },
    { images: 2, perImage: 13, columns: 65, classToken: false },
    { images: 3, perImage: 25, columns: 48, classToken: false },
  ].map(visionEmbeddingProblem);
