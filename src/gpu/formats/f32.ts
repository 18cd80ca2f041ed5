import { declare, declareOut, type Format } from './format.ts';

/** Single precision: elements as they are computed with. */
export const f32: Format = {
  name: 'f32',
  buffers: (shape) => [{ dtype: 'f32', shape }],
  obstacle: () => undefined,
  bindings: (first, name, width) => [declare(first, name, type(width))],
  reader: (name, width) => `fn ${name}At(i: u32) -> ${type(width)} { return ${name}[i]; }`,
  writer: {
    unit: 4,
    bindings: (first, name) => [declareOut(first, name, 'vec4f')],
    store: (name) => `fn ${name}Store(u: u32, v: ptr<function, array<vec4f, 1>>) { ${name}[u] = (*v)[0]; }`,
  },
  pack: (values) => [new Uint8Array(new Float32Array(values).buffer)],
  unpack: ([bytes], [rows, columns]) =>
    new Float64Array(new Float32Array(new Uint8Array(bytes).buffer, 0, rows * columns)),
};

const type = (width: 1 | 4) => (width === 4 ? 'vec4f' : 'f32');
