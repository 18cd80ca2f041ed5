import { KernelError, type SourcePlace } from '../../gpu/errors.ts';
import type { KernelSource } from '../../gpu/pipeline-cache.ts';

interface Declaration {
  readonly binding: number;
  readonly name: string;
  /** `storage, read`, `storage, read_write` or `uniform`. */
  readonly kind: string;
}

/**
 * WGSL source of a custom kernel behind the header of ours, and the way back from the lines of the whole to its own.
 *
 * Directives (`enable subgroups;`) come first in WGSL: those at the start of the source go before the header.
 */
export class CustomSource implements KernelSource {
  readonly kernel: { readonly name: string; readonly entryPoint?: string };
  readonly code: string;
  /** What stands before the source, without its directives; empty where it declares its own bindings. */
  readonly header: string;
  readonly text: string;
  /** The header of ours and what is bound besides. */
  readonly contract: string;
  readonly #op: string;
  readonly #lines: readonly string[];
  readonly #directives: readonly number[];

  constructor(op: string, kernel: CustomSource['kernel'], text: string, contract: string) {
    this.kernel = kernel;
    this.#op = op;
    this.#lines = text.split('\n');
    this.text = text;
    this.contract = contract;
    this.header = /@\s*binding\s*\(/.test(withoutComments(text)) ? '' : `${contract.trim()}\n`;
    this.#directives = this.header ? directiveLines(withoutComments(text).split('\n')) : [];
    const rest = this.#lines.map((line, i) => (this.#directives.includes(i) ? '' : line));
    this.code = `${this.#directives.map((i) => `${this.#lines[i]}\n`).join('')}${this.header}${rest.join('\n')}`;
  }

  explain(messages: Parameters<KernelSource['explain']>[0]): KernelError {
    const places: SourcePlace[] = [];
    const told = messages.map(({ lineNum, linePos, message }) => {
      const line = this.#lineOf(lineNum);
      if (line !== undefined) places.push({ line: line + 1, column: linePos, message });
      const quoted = line === undefined ? this.code.split('\n')[lineNum - 1] : this.#lines[line];
      const place =
        line === undefined ? `${this.kernel.name}, in the header` : `${this.kernel.name}:${line + 1}:${linePos}`;
      return { place, text: `${message.replace(/\s*\n\s*/g, '; ')} in \`${(quoted ?? '').trim()}\`` };
    });
    const [{ place, text }, ...others] = told;
    return new KernelError(
      this.#title(place),
      [text, ...others.map((other) => `${other.place}: ${other.text}`)].join('; '),
      places,
    );
  }

  /** Says in the words of the contract what does not fit it; else what WebGPU says. */
  refuse(message: string): KernelError {
    const { entryPoint = 'main' } = this.kernel;
    const text = withoutComments(this.code);
    if (/^Entry point/.test(message)) {
      const found = [...text.matchAll(/@compute[^{]*?\bfn\s+(\w+)/g)].map(([, name]) => name);
      return new KernelError(
        this.#title(),
        `no entry point ${entryPoint}: ${found.length ? `its @compute functions are ${found.join(', ')}; name one by entryPoint` : `it has no @compute function; write @compute @workgroup_size(…) fn ${entryPoint}(…)`}`,
      );
    }
    const expected = declarations(this.contract);
    for (const { binding, name, kind } of declarations(text)) {
      const bound = expected.find((e) => e.binding === binding);
      const line = this.#lines.findIndex((l) => new RegExp(`var\\s*<[^>]*>\\s*${name}\\b`).test(l));
      const refusal = (message: string) =>
        line < 0
          ? new KernelError(this.#title(), message)
          : new KernelError(this.#title(`${this.kernel.name}:${line + 1}`), message, [
              { line: line + 1, column: 1, message },
            ]);
      if (!bound) {
        const all = expected.map((e) => `${e.binding} ${e.name}`).join(', ');
        return refusal(`${name} is at binding ${binding}, where nothing is bound; there are ${all}`);
      }
      if (bound.kind !== kind)
        return refusal(
          `${name} at binding ${binding} is var<${kind}>; what is bound there, ${bound.name}, is var<${bound.kind}>`,
        );
    }
    return new KernelError(this.#title(), message.split('\n')[0].replace(/ \[\w+ "[^"]*"\]/g, ''));
  }

  #title(place = this.kernel.name): string {
    return `${this.#op} kernel ${place}`;
  }

  /** The line of the custom kernel's source, from 0, or undefined for one of the header. */
  #lineOf(lineNum: number): number | undefined {
    const at = lineNum - 1;
    if (at < this.#directives.length) return this.#directives[at];
    const line = at - this.#directives.length - (this.header.split('\n').length - 1);
    return line < 0 ? undefined : line;
  }
}

/** Whichever begins first: `// /*` begins no comment of several lines. The lines stay as many. */
const withoutComments = (text: string) =>
  text.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/.+/g, ' '));

/** Storage and uniform variables of WGSL source with their bindings. */
export function declarations(text: string): Declaration[] {
  const pattern = /@group\s*\(\s*0\s*\)\s*@binding\s*\(\s*(\d+)\w?\s*\)\s*var\s*<\s*([^>]*?)\s*>\s*(\w+)/g;
  return [...withoutComments(text).matchAll(pattern)].map(([, binding, kind, name]) => ({
    binding: Number(binding),
    name,
    kind: kind === 'storage' ? 'storage, read' : kind.replace(/\s*,\s*/, ', '),
  }));
}

/** Lines of the directives that WGSL source without comments begins with. */
function directiveLines(lines: readonly string[]): number[] {
  const found: number[] = [];
  for (const [i, line] of lines.entries()) {
    if (/^\s*(enable|requires|diagnostic)\b/.test(line)) found.push(i);
    else if (line.trim() !== '') break;
  }
  return found;
}
