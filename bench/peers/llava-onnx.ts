// The three ONNX graphs of a LLaVA that transformers.js runs, with the names of inputs and outputs that it looks for.
import type { Sizes } from './checkpoint.ts';
import { OnnxGraph } from './onnx.ts';
import { transposed } from './rows.ts';

export type Matrices = ReadonlyMap<
  string,
  { readonly shape: readonly number[]; readonly values: Float32Array<ArrayBuffer> }
>;

export function embeddingOnnx(weights: Matrices, { text }: Sizes): Uint8Array {
  const graph = new Builder(weights);
  graph.input('input_ids', ['batch_size', 'sequence_length'], 'int64');
  graph.node('Gather', [graph.weight('language_model.embed_tokens.weight'), 'input_ids'], 'inputs_embeds', { axis: 0 });
  graph.output('inputs_embeds', ['batch_size', 'sequence_length', text.hidden_size]);
  return graph.bytes();
}

/** CLIP's tower up to the layer before the last, without its class token, and the projector. */
export function visionOnnx(weights: Matrices, { text, vision }: Sizes): Uint8Array {
  const graph = new Builder(weights);
  const { hidden_size: width, image_size: side, patch_size: patch, num_attention_heads: heads } = vision;
  const patches = (side / patch) ** 2;
  const tower = 'vision_tower.vision_model';
  graph.input('pixel_values', [1, 3, side, side]);
  const squares = graph.node(
    'Conv',
    ['pixel_values', graph.weight(`${tower}.embeddings.patch_embedding.weight`)],
    'squares',
    {
      kernel_shape: [patch, patch],
      strides: [patch, patch],
    },
  );
  const tokens = graph.transpose(graph.reshape(squares, [1, width, patches]), [0, 2, 1]);
  const first = graph.reshape(graph.weight(`${tower}.embeddings.class_embedding`), [1, 1, width]);
  const placed = graph.call('Add', [
    graph.call('Concat', [first, tokens], { axis: 1 }),
    graph.weight(`${tower}.embeddings.position_embedding.weight`),
  ]);
  const norm = (x: string, name: string) =>
    graph.call('LayerNormalization', [x, graph.weight(`${name}.weight`), graph.weight(`${name}.bias`)], {
      axis: -1,
      epsilon: { float: vision.layer_norm_eps },
    });
  let x = norm(placed, `${tower}.pre_layrnorm`);
  for (let layer = 0; layer < vision.num_hidden_layers - 1; layer++) {
    const name = `${tower}.encoder.layers.${layer}`;
    const a = norm(x, `${name}.layer_norm1`);
    const [q, k, v] = ['q', 'k', 'v'].map((each) =>
      graph.heads(graph.linear(a, `${name}.self_attn.${each}_proj`), heads),
    );
    const z = graph.merged(graph.attention(q, k, v, width / heads));
    x = graph.call('Add', [x, graph.linear(z, `${name}.self_attn.out_proj`)]);
    const h = graph.linear(norm(x, `${name}.layer_norm2`), `${name}.mlp.fc1`);
    const gate = graph.call('Sigmoid', [graph.call('Mul', [h, graph.scalar(1.702)])]);
    x = graph.call('Add', [x, graph.linear(graph.call('Mul', [h, gate]), `${name}.mlp.fc2`)]);
  }
  const features = graph.call('Slice', [x, graph.integers([1]), graph.integers([patches + 1]), graph.integers([1])]);
  const hidden = graph.call('Gelu', [graph.linear(features, 'multi_modal_projector.linear_1')]);
  graph.node('Identity', [graph.linear(hidden, 'multi_modal_projector.linear_2')], 'image_features');
  graph.output('image_features', [1, patches, text.hidden_size]);
  return graph.bytes();
}

/** Llama with a cache. */
export function decoderOnnx(weights: Matrices, { text }: Sizes, grouped: boolean): Uint8Array {
  const graph = new Builder(weights);
  const { hidden_size: width, num_attention_heads: heads, max_position_embeddings: positions } = text;
  const size = width / heads;
  graph.input('inputs_embeds', ['batch_size', 'sequence_length', width]);
  graph.input('attention_mask', ['batch_size', 'total_sequence_length'], 'int64');
  const angles = Array.from({ length: (positions * size) / 2 }, (_, i) => {
    const [position, pair] = [Math.floor(i / (size / 2)), i % (size / 2)];
    return position / 10000 ** ((2 * pair) / size);
  });
  graph.constant('cos', [positions, size / 2], Float32Array.from(angles, Math.cos));
  graph.constant('sin', [positions, size / 2], Float32Array.from(angles, Math.sin));
  const attend = grouped ? groupedAttention(graph, text) : composedAttention(graph, text);
  const norm = (x: string, name: string) =>
    graph.call('SimplifiedLayerNormalization', [x, graph.weight(`${name}.weight`)], {
      axis: -1,
      epsilon: { float: text.rms_norm_eps },
    });
  let x = 'inputs_embeds';
  for (let layer = 0; layer < text.num_hidden_layers; layer++) {
    const name = `language_model.layers.${layer}`;
    const [cache, present] = ['past_key_values', 'present'].map((of) =>
      ['key', 'value'].map((each) => `${of}.${layer}.${each}`),
    );
    for (const each of cache) graph.input(each, ['batch_size', heads, 'past_sequence_length', size]);
    for (const each of present) graph.output(each, ['batch_size', heads, 'total_sequence_length', size]);
    const a = norm(x, `${name}.input_layernorm`);
    const qkv = ['q', 'k', 'v'].map((each) => graph.linear(a, `${name}.self_attn.${each}_proj`));
    x = graph.call('Add', [x, graph.linear(attend(qkv, cache, present), `${name}.self_attn.o_proj`)]);
    const m = norm(x, `${name}.post_attention_layernorm`);
    const [gate, up] = ['gate', 'up'].map((each) => graph.linear(m, `${name}.mlp.${each}_proj`));
    const silu = graph.call('Mul', [gate, graph.call('Sigmoid', [gate])]);
    x = graph.call('Add', [x, graph.linear(graph.call('Mul', [silu, up]), `${name}.mlp.down_proj`)]);
  }
  graph.node('Identity', [graph.linear(norm(x, 'language_model.norm'), 'lm_head')], 'logits');
  graph.output('logits', ['batch_size', 'sequence_length', text.vocab_size]);
  return graph.bytes();
}

/** q, k, v [batch, tokens, width], and the names of cache and cache to be -> z of the same shape. */
type Attend = (qkv: readonly string[], cache: readonly string[], present: readonly string[]) => string;

function groupedAttention(graph: Builder, { num_attention_heads: heads }: Sizes['text']): Attend {
  const ones = graph.call('ReduceSum', ['attention_mask', graph.integers([1])], { keepdims: 0 });
  const lastKey = graph.call('Cast', [graph.call('Sub', [ones, graph.integers([1])])], { to: 6 });
  const all = graph.call('Gather', [graph.call('Shape', ['attention_mask']), graph.integers([1], [])], { axis: 0 });
  const total = graph.call('Cast', [all], { to: 6 });
  return (qkv, cache, present) =>
    graph.node(
      'GroupQueryAttention',
      [...qkv, ...cache, lastKey, total, 'cos', 'sin'],
      [`${present[0]}.z`, ...present],
      { num_heads: heads, kv_num_heads: heads, do_rotary: 1 },
    );
}

/** The same of ONNX's own operators, and rotary of ORT's. */
function composedAttention(graph: Builder, text: Sizes['text']): Attend {
  const { num_attention_heads: heads, hidden_size: width, max_position_embeddings: positions } = text;
  graph.input('position_ids', ['batch_size', 'sequence_length'], 'int64');
  const all = graph.call('Slice', [graph.call('Shape', ['attention_mask']), graph.integers([1]), graph.integers([2])]);
  const every = Float32Array.from({ length: positions }, (_, i) => i);
  const keys = graph.call('Slice', [graph.constant('positions', [positions], every), graph.integers([0]), all]);
  const rows = graph.reshape(graph.call('Cast', ['position_ids'], { to: 1 }), [0, 1, -1, 1]);
  const visible = graph.call('LessOrEqual', [keys, rows]);
  const mask = graph.call('Where', [visible, graph.scalar(0), graph.scalar(-1e9)]);
  const turned = (x: string) => graph.call('RotaryEmbedding', [x, 'position_ids', 'cos', 'sin'], { num_heads: heads });
  return ([q, k, v], [pastK, pastV], [presentK, presentV]) => {
    graph.node('Concat', [pastK, graph.heads(turned(k), heads)], presentK, { axis: 2 });
    graph.node('Concat', [pastV, graph.heads(v, heads)], presentV, { axis: 2 });
    return graph.merged(graph.attention(graph.heads(turned(q), heads), presentK, presentV, width / heads, mask));
  };
}

/** Nodes with names of their own, and what several graphs are made of. */
class Builder extends OnnxGraph {
  readonly #weights: Matrices;
  readonly #made = new Set<string>();
  #count = 0;

  constructor(weights: Matrices) {
    super();
    this.#weights = weights;
  }

  call(op: string, inputs: readonly string[], attributes?: Parameters<OnnxGraph['node']>[3]): string {
    return this.node(op, inputs, `${op}_${this.#count++}`, attributes);
  }

  /** One of the checkpoint's tensors. */
  weight(name: string): string {
    const { shape, values } = this.#weights.get(name)!;
    return this.#once(name, shape, () => values);
  }

  /** x · Wᵀ, and a bias where there is one. */
  linear(x: string, name: string): string {
    const { shape, values } = this.#weights.get(`${name}.weight`)!;
    const [n, k] = shape;
    const y = this.call('MatMul', [x, this.#once(`${name}.turned`, [k, n], () => transposed(values, n, k))]);
    return this.#weights.has(`${name}.bias`) ? this.call('Add', [y, this.weight(`${name}.bias`)]) : y;
  }

  scalar(value: number): string {
    return this.constant(`scalar_${this.#count++}`, [], Float32Array.of(value));
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(`integers_${this.#count++}`, shape, BigInt64Array.from(values, BigInt));
  }

  reshape(x: string, shape: readonly number[]): string {
    return this.call('Reshape', [x, this.integers(shape)]);
  }

  transpose(x: string, order: readonly number[]): string {
    return this.call('Transpose', [x], { perm: order });
  }

  /** [batch, tokens, width] -> [batch, heads, tokens, size] */
  heads(x: string, heads: number): string {
    return this.transpose(this.reshape(x, [0, 0, heads, -1]), [0, 2, 1, 3]);
  }

  /** and back. */
  merged(x: string): string {
    return this.reshape(this.transpose(x, [0, 2, 1, 3]), [0, 0, -1]);
  }

  attention(q: string, k: string, v: string, size: number, mask?: string): string {
    const products = this.call('MatMul', [q, this.transpose(k, [0, 1, 3, 2])]);
    const scores = this.call('Mul', [products, this.scalar(size ** -0.5)]);
    const pattern = this.call('Softmax', [mask ? this.call('Add', [scores, mask]) : scores], { axis: -1 });
    return this.call('MatMul', [pattern, v]);
  }

  #once(name: string, shape: readonly number[], values: () => Float32Array<ArrayBuffer>): string {
    if (this.#made.has(name)) return name;
    this.#made.add(name);
    return this.constant(name, shape, values());
  }
}
