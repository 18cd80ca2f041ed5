import { greatest } from '../../base/extremes.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { embedding } from '../../kernels/embedding/embedding.ts';
import { keepText, splice } from '../../kernels/splice/splice.ts';
import { InputError } from '../errors.ts';
import type { Architecture, VisualEncoder, VisualRows } from '../families/family.ts';
import { imagesFirst, type ModelInput, type Visual } from '../input.ts';
import type { Edit } from '../interventions/edits.ts';
import { type HookPoint, hookPoints, isEarly, isOfVisuals, selectHooks } from '../interventions/hook-points.ts';
import type { Hooks } from '../interventions/hooks.ts';
import { decoder, unembed } from '../layers/decoder.ts';
import type { KvCache } from '../layers/kv-cache.ts';
import { inverseFrequencies, mropeAxes, ropeTable } from '../layers/rope.ts';
import { type DecoderWeights, decoderWeights, type WeightSource } from '../layers/weights.ts';
import type { RunOptions } from './run.ts';

/** Everything that a model needs of a checkpoint, by name. */
export interface ModelWeights {
  readonly decoder: DecoderWeights;
  readonly encoder?: VisualEncoder;
}

export const modelWeights = ({ text, vision }: Architecture, source: WeightSource): ModelWeights => ({
  encoder: vision?.encoder(source),
  decoder: decoderWeights(text, source),
});

/** A run of the decoder. */
interface DecodeRun extends Pick<Extent, 'layers' | 'stopAtHeads'> {
  /** Merged embeddings, [batch * length, dModel], not edited yet. */
  readonly embeddings: Tensor;
  /** Rotary positions of all rows, [axes][batch * length]. */
  readonly positions: readonly ArrayLike<number>[];
  readonly cache?: KvCache;
  /** A generation goes on from the last position. */
  readonly generates?: boolean;
  /** It is to run again with a position more in the cache (`Dispatch.later`). */
  readonly moves?: boolean;
}

/** How far a run goes. */
export interface Extent {
  /** The hook points to return. */
  readonly wanted: readonly HookPoint[];
  /** Decoder blocks to run. */
  readonly layers: number;
  /** Stop in the last of them at its head outputs. */
  readonly stopAtHeads: boolean;
  /** Nothing of the model is left out. */
  readonly whole: boolean;
}

const headsAlone = /\.(hook_resid_pre|ln1\.\w+|attn\.\w+)$/;

/**
 * The stages of a forward pass, as they are recorded:
 *
 *     pixels -> vision tower -> projector -> merged embeddings -> decoder blocks -> head outputs | logits
 */
export class Forward {
  readonly config: Architecture;
  readonly weights: ModelWeights;
  readonly hookPoints: readonly HookPoint[];
  /** Merged embeddings of inputs that `Model.keepPictures` keeps, [tokens, dModel]. */
  readonly kept = new WeakMap<ModelInput, Tensor>();
  readonly #early: readonly string[];
  readonly #frequencies: Float32Array;
  readonly #axisOf: Uint8Array | undefined;

  constructor(config: Architecture, weights: ModelWeights) {
    this.config = config;
    this.weights = weights;
    this.hookPoints = hookPoints(config);
    this.#early = this.hookPoints.filter(isEarly).map(({ name }) => name);
    const { rope, dHead, mropeSections } = config.text;
    this.#frequencies = inverseFrequencies(rope, dHead);
    this.#axisOf = mropeSections && mropeAxes(mropeSections);
  }

  /** Token embeddings with those of pictures in their places, [batch * length, dModel]. */
  merged(rec: Recorder, hooks: Hooks, inputs: readonly ModelInput[]): Tensor {
    const kept = inputs.length === 1 && this.kept.get(inputs[0]);
    if (kept && !hooks.touches(...this.#early) && !rec.hasReplacement) {
      const x = rec.temp('merged', 'f32', kept.shape);
      rec.copy(kept, x);
      return x;
    }
    const length = inputs[0].inputIds.length;
    const visuals = inputs.flatMap((input) => imagesFirst(input.visuals));
    const ids = new Uint32Array(inputs.length * length);
    for (const [b, { inputIds }] of inputs.entries()) ids.set(Array.from(inputIds), b * length);
    const x = hooks.pass('hook_embed', this.embed(rec, rec.input('input_ids', 'u32', [ids.length], ids)));
    if (!visuals.length) return x;
    const { features, newline, rows } = this.weights.encoder!(rec, visuals, hooks);
    const source = this.#places(inputs, rows);
    return splice(rec, {
      text: x,
      features,
      extra: newline,
      source: rec.input('visual rows', 'u32', [source.length], source),
      label: 'merged',
    });
  }

  /** For every token, the row of features that takes its place, or none: images and videos each in their own order. */
  #places(inputs: readonly ModelInput[], rowsOf: VisualRows['rows']): Uint32Array<ArrayBuffer> {
    const vision = this.config.vision!;
    let first = 0;
    const places = inputs.flatMap(({ inputIds, visuals }) => {
      const own = imagesFirst(visuals).map((visual, i) => ({ kind: visual.kind, rows: rowsOf[first + i] }));
      first += visuals.length;
      const queue = (kind: Visual['kind']) =>
        own
          .filter((v) => v.kind === kind)
          .flatMap(({ rows }) => Array.from(rows))
          .values();
      const [image, video] = [queue('image'), queue('video')];
      return Array.from(inputIds, (id) => {
        if (id === vision.imageTokenId) return image.next().value!;
        return id === vision.videoTokenId ? video.next().value! : keepText;
      });
    });
    return Uint32Array.from(places);
  }

  /** Rotary positions of prompts, [axes][batch * length]; notes in the cache where what follows them stands. */
  positions(inputs: readonly ModelInput[], cache: KvCache | undefined): readonly ArrayLike<number>[] {
    const axes: number[][] = [[], [], []];
    for (const [b, input] of inputs.entries()) {
      const { length } = input.inputIds;
      const own = this.config.vision?.positions?.(input);
      for (const [a, axis] of axes.entries()) {
        for (let i = 0; i < length; i++) axis.push(own ? own[a][i] : i);
        // Each axis goes on from the last token, as in HF's `generate`. (Its `forward` with a cache goes on from the largest
        // position instead, which differs behind a long video.)
        if (cache) cache.shifts[a][b] = axis.at(-1)! + 1 - length;
      }
    }
    return axes;
  }

  /** Positions of `length` tokens of each sequence behind those in the cache. */
  following(length: number, { batch, length: before, shifts }: KvCache): readonly ArrayLike<number>[] {
    return shifts.map((shift) =>
      Uint32Array.from(
        { length: batch * length },
        (_, row) => before + shift[Math.floor(row / length)] + (row % length),
      ),
    );
  }

  embed(rec: Recorder, ids: Tensor): Tensor {
    return embedding(rec, { ids, weight: this.weights.decoder.embed, label: 'embed_tokens' });
  }

  /**
   * The decoder, and the logits that the hooks ask for.
   * @returns the logits [batch, vocab] of each sequence's last position, where a generation goes on from them.
   */
  decode(rec: Recorder, hooks: Hooks, run: DecodeRun): Tensor | undefined {
    const { text } = this.config;
    const { embeddings, positions, cache, layers, stopAtHeads, generates, moves } = run;
    const x = hooks.pass('hook_merged_embed', embeddings);
    const table = (at: typeof positions) => ropeTable(this.#frequencies, at, this.#axisOf);
    const moved = (steps: number) =>
      table(positions.map((axis) => Uint32Array.from(axis, (position) => position + steps)));
    const shape = [positions[0].length, text.dHead];
    const rope = rec.input('rope', 'f32', shape, table(positions), moves ? moved : undefined);
    const weights = this.weights.decoder;
    const out = decoder(rec, weights, text, { x, batch: hooks.batch, rope, cache, moves, hooks, layers, stopAtHeads });
    if (hooks.wants('logits', 'ln_final.hook_normalized', 'ln_final.hook_scale'))
      unembed(rec, weights, text, hooks.narrow(out!), hooks.narrowed);
    // Generation goes on from the last position, whatever the hooks ask for.
    return generates ? unembed(rec, weights, text, lastRows(rec, out!, hooks.batch), hooks.last) : undefined;
  }

  /**
   * Which hooks are wanted and how far the run must go for them.
   * @param points the hook points that there are, those of custom kernels among them.
   */
  extent(
    points: readonly HookPoint[],
    { namesFilter = [], stopAtLayer }: RunOptions,
    visuals: number,
    generates: boolean,
  ): Extent {
    const { nLayers } = this.config.text;
    const seen = (p: HookPoint) => !isOfVisuals(p);
    const selected = selectHooks(points, namesFilter);
    const unseen = visuals ? undefined : selected.find((p) => !seen(p) && [namesFilter].flat().includes(p.name));
    if (unseen) throw new InputError(`${unseen.name} does not happen: the prompt has no images`);
    const wanted = visuals ? selected : selected.filter(seen);
    const last = generates
      ? nLayers
      : greatest(
          wanted.map((p) => p.layer),
          -1,
        );
    if (stopAtLayer !== undefined && !(Number.isInteger(stopAtLayer) && stopAtLayer >= 0 && stopAtLayer <= nLayers))
      throw new InputError(`stopAtLayer ${stopAtLayer}: this model has ${nLayers} layers`);
    const unreachable = wanted.find((p) => stopAtLayer !== undefined && p.layer >= stopAtLayer);
    if (unreachable) throw new InputError(`${unreachable.name} lies beyond stopAtLayer ${stopAtLayer}`);
    const layers = Math.min(last + 1, nLayers);
    const stopAtHeads = last < nLayers && wanted.filter((p) => p.layer === last).every((p) => headsAlone.test(p.name));
    return { wanted, layers, stopAtHeads, whole: last >= nLayers };
  }

  check({ inputIds, visuals }: ModelInput, length: number, cache: KvCache | undefined): void {
    const { text, vision } = this.config;
    if (!inputIds.length) throw new InputError('the input has no tokens');
    if (inputIds.length !== length)
      throw new InputError(`prompts of ${length} and ${inputIds.length} tokens cannot run as one batch`);
    const end = (cache?.length ?? 0) + length;
    if (end > text.maxPositions)
      throw new InputError(
        `${end} positions exceed this model's max_position_embeddings, ${text.maxPositions}: shorten the prompt`,
      );
    if (visuals.length && !vision) throw new InputError('this model takes no images: it is a text-only decoder');
    const found = { image: 0, video: 0 };
    for (let i = 0; i < length; i++) {
      const id = inputIds[i];
      // A placeholder's own embedding is never read, and may lie past the table (the original LLaVA's does).
      if (id === vision?.imageTokenId) found.image++;
      else if (id === vision?.videoTokenId) found.video++;
      else if (!(Number.isInteger(id) && id >= 0 && id < text.vocabSize))
        throw new InputError(`token id ${id} at position ${i} is not in the vocabulary of ${text.vocabSize}`);
    }
    const tokens = visuals.map((visual) => ({ kind: visual.kind, count: vision!.tokens(visual) }));
    for (const kind of ['image', 'video'] as const) {
      const counts = tokens.filter((t) => t.kind === kind).map((t) => t.count);
      if (found[kind] !== counts.reduce((sum, n) => sum + n, 0))
        throw new InputError(
          `${found[kind]} ${kind} tokens in the prompt for ${counts.length} ${kind}s${counts.length ? ` of ${counts.join(', ')} tokens` : ''}`,
        );
    }
  }

  /** @throws InputError for edits of what does not happen: they must not look like edits that change nothing. */
  checkEdits(edits: readonly Edit[], visuals: number): void {
    const never = edits.find(({ at }) => !visuals && selectHooks(this.hookPoints, at).every(isOfVisuals));
    if (never) throw new InputError(`edit of ${never.at}: it does not happen, the prompt has no images`);
  }
}

/** The last of `length` rows of each sequence. */
function lastRows(rec: Recorder, x: Tensor, batch: number): Tensor {
  const length = x.shape[0] / batch;
  if (batch === 1) return rows(x, length - 1, length);
  if (length === 1) return x;
  const last = Uint32Array.from({ length: batch }, (_, b) => (b + 1) * length - 1);
  return gatherRows(rec, { x, rows: rec.input('last rows', 'u32', [batch], last), label: 'last rows' });
}
