// What goes on inside the model for one picture and question: all of it from one run, until something is changed.
import {
  type Activation,
  type ActivationCache,
  type Edit,
  type Head,
  type ModelInput,
  softmax,
  splitHeadVectors,
  type VisionLanguageModel,
} from 'headlight-vlm';
import {
  attentionMaps,
  headOutputs,
  headWords,
  logitLens,
  mapOf,
  placedGrids,
  tokenText,
  topK,
} from 'headlight-vlm/analysis';
import type { SavClassifier } from 'headlight-vlm/sav';
import type { AttentionGrid, Changes, LensRow, Looked, Word, WrittenToken } from './work.ts';

/** What is read at the last position of the prompt. */
const names = [
  ...['attn.hook_pattern', 'attn.hook_z', 'hook_resid_post', 'ln1.hook_scale', 'ln2.hook_scale'].map(
    (name) => `blocks.*.${name}`,
  ),
  ...['ln_final.hook_scale', 'logits'],
];

/** What the model says next, and its head vectors, [nLayers, nHeads, dHead]. */
export interface Outcome {
  readonly next: readonly Word[];
  readonly vectors: Float32Array;
}

export class Inside {
  readonly #model: VisionLanguageModel;
  readonly #input: ModelInput;
  readonly #cache: ActivationCache;
  /** Frees what the GPU keeps of the picture. */
  readonly close: () => void;

  private constructor(model: VisionLanguageModel, input: ModelInput, cache: ActivationCache, close: () => void) {
    this.#model = model;
    this.#input = input;
    this.#cache = cache;
    this.close = close;
  }

  /** Runs the model once; the tower's part of it is kept for runs with changes. @param image a picture, and what errors call it. */
  static async open(
    model: VisionLanguageModel,
    image: { readonly name: string; readonly file: Blob },
    question: string,
  ): Promise<Inside> {
    const input = await model.input({ images: [image.file], imageNames: [image.name], prompt: question });
    const free = await model.keepPictures(input);
    try {
      const cache = await model.runWithCache(input, { namesFilter: names, posSlice: -1 });
      return new Inside(model, input, cache, free);
    } catch (error) {
      free();
      throw error;
    }
  }

  /** Where a head looks, and what it writes. */
  async look(head: Head): Promise<Looked> {
    const options = { heads: [head], cache: this.#cache };
    const { grids, maps } = await attentionMaps(this.#model, this.#input, options);
    const outputs = await headOutputs(this.#model, this.#input, options);
    const [{ promoted, suppressed }] = await headWords(this.#model, outputs, { k: 6 });
    const texts = (words: readonly { readonly id: number }[]) => words.map(({ id }) => this.#text(id));
    return {
      grids: laidOver(grids, maps[0].grids),
      share: maps[0].share,
      promoted: texts(promoted),
      suppressed: texts(suppressed),
    };
  }

  /** What each layer would say next. */
  async lens(): Promise<readonly LensRow[]> {
    const rows = await logitLens(this.#model, this.#input, { cache: this.#cache, k: 5 });
    return rows.map(({ layer, top }) => ({
      layer,
      top: top.map(({ id, probability }) => ({ text: this.#text(id), probability })),
    }));
  }

  /** What comes next, with some things changed. @param classifier has the direction to steer along. */
  async outcome(changes: Changes, classifier: SavClassifier | undefined): Promise<Outcome> {
    const edits = this.#edits(changes, classifier);
    const read = { namesFilter: ['blocks.*.attn.hook_z', 'logits'], posSlice: -1 };
    const cache = edits.length ? await this.#model.with({ edits }).runWithCache(this.#input, read) : this.#cache;
    const probabilities = softmax(Float64Array.from(cache.logits.data));
    const next = topK(probabilities, 5).map((id) => ({ text: this.#text(id), probability: probabilities[id] }));
    const layers = Array.from({ length: this.#model.nLayers }, (_, l) => [`${l}`, cache.z(l)] as const);
    return { next, vectors: splitHeadVectors(new Map<string, Activation>(layers), 1)[0] };
  }

  /** Lets the model answer, with the attention that a head has from where each token is chosen. */
  async write(
    { layer, head }: Head,
    changes: Changes,
    classifier: SavClassifier | undefined,
    { signal, onToken }: { readonly signal: AbortSignal; readonly onToken: (token: WrittenToken) => void },
  ): Promise<void> {
    const grids = placedGrids(this.#model.config, this.#input);
    const rows: Float32Array[] = [];
    let written = 0;
    const model = this.#model.with({ edits: this.#edits(changes, classifier), signal });
    const text = model.generate(this.#input, {
      ...{ maxNewTokens: 32, namesFilter: `blocks.${layer}.attn.hook_pattern`, posSlice: -1 },
      onActivations: (cache) => rows.push(cache.pattern(layer).at(head, 0).data),
      onToken: (id) => {
        const map = mapOf(rows[written++], grids);
        onToken({ text: this.#text(id), share: map.share, grids: laidOver(grids, map.grids) });
      },
    });
    for await (const _ of text) signal.throwIfAborted();
  }

  #text(id: number): string {
    return tokenText(this.#model.processor.tokenizer, id);
  }

  /** Scaled heads, then the direction that is added to those that vote, then norms held at what they were. */
  #edits({ scales, steer, freezeNorms }: Changes, classifier: SavClassifier | undefined): Edit[] {
    const edits: Edit[] = scales.map(({ layer, head, scale }) => ({
      ...{ at: `blocks.${layer}.attn.hook_z`, heads: [head], scale },
    }));
    if (steer?.strength && classifier) edits.push(...steering(classifier, steer));
    if (freezeNorms)
      for (const [at, { data }] of this.#cache)
        if (at.endsWith('hook_scale')) edits.push({ at, positions: -1, set: data });
    return edits;
  }
}

/** Adds to each head that votes what the mean of one class has beyond that of another. */
function steering({ data }: SavClassifier, { from, to, strength }: NonNullable<Changes['steer']>): Edit[] {
  const { heads, labels, counts, sums, dHead } = data;
  const classes = [to, from].map((label) => labels.indexOf(label));
  const mean = (h: number, c: number, d: number) => sums[(h * labels.length + c) * dHead + d] / counts[c];
  return heads.map(({ layer, head }, h) => ({
    at: `blocks.${layer}.attn.hook_z`,
    heads: [head],
    positions: -1,
    add: Float32Array.from({ length: dHead }, (_, d) => strength * (mean(h, classes[0], d) - mean(h, classes[1], d))),
  }));
}

const laidOver = (
  grids: readonly Omit<AttentionGrid, 'values'>[],
  values: readonly Float32Array[],
): readonly AttentionGrid[] =>
  grids.map(({ label, rows, columns, area }, i) => ({ label, rows, columns, area, values: values[i] }));
