// What a run returns: activations by the names of their hook points, with handy ways to single ones and to parts of them.
import { InputError } from '../errors.ts';
import type { PositionRange } from '../interventions/positions.ts';

/** An activation on the host. */
export class Activation {
  /** Row-major in `shape`. */
  readonly data: Float32Array;
  readonly shape: readonly number[];

  constructor(data: Float32Array, shape: readonly number[]) {
    this.data = data;
    this.shape = shape;
  }

  /**
   * A part, by indices of the first axes: of hook_z [pos, nHeads, dHead], `at(-1)` is the last position [nHeads, dHead] and
   * `at(-1, 5)` is head 5 there [dHead]. Negative indices count from the end. Nothing is copied.
   * @throws InputError for indices that are not there.
   */
  at(...indices: readonly number[]): Activation {
    const { data, shape } = this;
    if (indices.length > shape.length)
      throw new InputError(`at(${indices.join(', ')}): more indices than axes, which are [${shape.join(', ')}]`);
    let start = 0;
    let size = data.length;
    for (const [axis, index] of indices.entries()) {
      const place = index < 0 ? index + shape[axis] : index;
      if (!(Number.isInteger(place) && place >= 0 && place < shape[axis]))
        throw new InputError(`at(${indices.join(', ')}): axis ${axis} of [${shape.join(', ')}] has no index ${index}`);
      size /= shape[axis];
      start += place * size;
    }
    return new Activation(data.subarray(start, start + size), shape.slice(indices.length));
  }
}

/**
 * Activations by name, as TransformerLens's cache of the same name. `get(name)` is undefined for a name that is not there;
 * `at(name)` and what names a kind (`z(3)`) throw, and say what is there.
 */
export class ActivationCache extends Map<string, Activation> {
  /** The positions of the prompt that the language model's activations hold, where `runWithCache` gave them for one input. */
  positions?: PositionRange;

  /** The activation of a hook point. @throws InputError for a name that the run was not asked for. */
  at(name: string): Activation {
    const found = this.get(name);
    if (found) return found;
    const names = [...this.keys()];
    const some = names.length > 5 ? [...names.slice(0, 5), `${names.length - 5} more`] : names;
    throw new InputError(
      `${name} is not in this cache: ask for it by namesFilter; there ${names.length === 1 ? 'is' : 'are'} ${some.join(', ') || 'none'}`,
    );
  }

  /** hook_z of a block: head outputs before W_O, [pos, nHeads, dHead]. @param tower '' is the language model, `vision` a tower. */
  z(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_z', tower);
  }

  /** hook_q [pos, nHeads, dHead], before rotation. */
  q(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_q', tower);
  }

  /** hook_k [pos, nKvHeads, dHead], before rotation. */
  k(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_k', tower);
  }

  /** hook_v [pos, nKvHeads, dHead]. */
  v(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_v', tower);
  }

  /** hook_attn_scores [nHeads, pos, keys]. */
  scores(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_attn_scores', tower);
  }

  /** hook_pattern [nHeads, pos, keys]. */
  pattern(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_pattern', tower);
  }

  /** hook_result: what each head writes, [pos, nHeads, dModel]. */
  result(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'attn.hook_result', tower);
  }

  /** hook_resid_pre [pos, dModel]. */
  residPre(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'hook_resid_pre', tower);
  }

  /** hook_resid_mid [pos, dModel]. */
  residMid(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'hook_resid_mid', tower);
  }

  /** hook_resid_post [pos, dModel]. */
  residPost(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'hook_resid_post', tower);
  }

  /** hook_attn_out [pos, dModel]. */
  attnOut(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'hook_attn_out', tower);
  }

  /** hook_mlp_out [pos, dModel]. */
  mlpOut(layer: number, tower = ''): Activation {
    return this.#ofBlock(layer, 'hook_mlp_out', tower);
  }

  /** [pos, vocab] */
  get logits(): Activation {
    return this.at('logits');
  }

  #ofBlock(layer: number, name: string, tower: string): Activation {
    return this.at(`${tower && `${tower}.`}blocks.${layer}.${name}`);
  }
}
