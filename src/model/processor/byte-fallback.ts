import * as library from '@huggingface/tokenizers';

/** The part of the library that is used here; its own declarations do not resolve under TypeScript's NodeNext. */
export interface HfTokenizer {
  decoder: HfDecoder | null;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[]; tokens: string[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

interface HfDecoder {
  /** Of a sequence of decoders. */
  decoders?: HfDecoder[];
  decode_chain(tokens: string[]): string[];
}

interface Library {
  readonly Tokenizer: new (tokenizerJson: object, config: object) => HfTokenizer;
  readonly ByteFallbackDecoder: new (config: object) => HfDecoder;
}

const { Tokenizer, ByteFallbackDecoder } = library as unknown as Library;
export const HfTokenizer = Tokenizer;

/** The byte that a token such as <0x0A> stands for. */
export function byteOf(token: string): number | undefined {
  return /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined;
}

/**
 * Runs of byte tokens as the Rust library decodes them: valid UTF-8 or, if anything in the run is not, a replacement
 * character for every byte of it. (The JavaScript library replaces the bad bytes only, and drops a byte order mark.)
 */
class StrictByteFallback extends ByteFallbackDecoder {
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  override decode_chain(tokens: string[]): string[] {
    const out: string[] = [];
    let run: number[] = [];
    const endRun = () => {
      if (run.length > 0) out.push(this.#textOf(run));
      run = [];
    };
    for (const token of tokens) {
      const byte = byteOf(token);
      if (byte !== undefined) run.push(byte);
      else {
        endRun();
        out.push(token);
      }
    }
    endRun();
    return out;
  }

  #textOf(run: number[]): string {
    try {
      return this.#utf8.decode(Uint8Array.from(run));
    } catch {
      return '\ufffd'.repeat(run.length);
    }
  }
}

/** Puts the strict decoder in the library's place; returns whether there was one. */
export function makeByteFallbackStrict(hf: HfTokenizer): boolean {
  const strict: HfDecoder = new StrictByteFallback({ type: 'ByteFallback' });
  const isLoose = (d: HfDecoder | null): boolean => d instanceof ByteFallbackDecoder;
  if (isLoose(hf.decoder)) {
    hf.decoder = strict;
    return true;
  }
  const decoders = hf.decoder?.decoders ?? [];
  const index = decoders.findIndex(isLoose);
  if (index < 0) return false;
  decoders[index] = strict;
  return true;
}
