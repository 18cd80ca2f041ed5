// Added tokens as the Rust library finds them (tokenizers, added_vocabulary.rs): the JavaScript library does not know
// `single_word`, looks for both kinds of token at once where there is no normaliser, and takes ordinary pieces for added tokens.
import type { HfTokenizer } from './byte-fallback.ts';

interface AddedToken {
  readonly content: string;
  readonly id: number;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** What of the library's tokenizer this file works on. */
interface Library extends HfTokenizer {
  readonly added_tokens: readonly AddedToken[];
  added_tokens_map: Map<string, AddedToken>;
  readonly normalizer: Normalizer | null;
  readonly pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null;
  readonly model: ((pieces: readonly string[]) => string[]) & {
    readonly tokens_to_ids: Map<string, number>;
    readonly unk_token?: string;
  };
  encode_text(text: string | null): string[] | null;
}

type Normalizer = ((text: string) => string) & {
  /** Of a sequence. */
  readonly normalizers?: readonly (Normalizer | null)[];
  readonly config: { readonly type?: string };
  normalize(text: string): string;
};

/** A piece of text, or an added token that stands there. */
type Piece = string | AddedToken;

// What Rust's regular expressions call \w and \s.
const wordBefore = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAfter = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const isSpace = (character: string) => /^\p{White_Space}$/u.test(character);

interface Node {
  readonly next: Map<string, Node>;
  token?: AddedToken;
}

/** Finds tokens in a text: the leftmost first, of those that begin at one place the longest. */
class AddedTokens {
  readonly #root: Node = { next: new Map() };

  add(text: string, token: AddedToken): void {
    let node = this.#root;
    for (let i = 0; i < text.length; i++) {
      const known = node.next.get(text[i]);
      const next: Node = known ?? { next: new Map() };
      if (!known) node.next.set(text[i], next);
      node = next;
    }
    if (node !== this.#root) node.token ??= token;
  }

  /** The text in pieces; a token that is not a word of its own, though it must be, stays text, and so do tokens within it. */
  split(text: string): Piece[] {
    const pieces: Piece[] = [];
    let done = 0;
    for (let at = 0; at < text.length; ) {
      const found = this.#longest(text, at);
      if (!found) {
        at++;
        continue;
      }
      const { token, length } = found;
      let [start, end] = [at, at + length];
      at = end;
      if (
        token.single_word &&
        (wordBefore.test(lastCharacter(text, start)) || wordAfter.test(text.slice(end, end + 2)))
      )
        continue;
      if (token.lstrip) while (start > done && isSpace(text[start - 1])) start--;
      if (token.rstrip) while (end < text.length && isSpace(text[end])) end++;
      if (done < start) pieces.push(text.slice(done, start));
      pieces.push(token);
      done = end;
    }
    if (done < text.length) pieces.push(text.slice(done));
    return pieces;
  }

  #longest(text: string, at: number): { token: AddedToken; length: number } | undefined {
    let node: Node | undefined = this.#root;
    let found: { token: AddedToken; length: number } | undefined;
    for (let i = at; i < text.length; i++) {
      node = node.next.get(text[i]);
      if (!node) break;
      if (node.token) found = { token: node.token, length: i + 1 - at };
    }
    return found;
  }
}

const lastCharacter = (text: string, end: number) => text.slice(Math.max(0, end - 2), end);

/**
 * Puts the Rust library's way with added tokens in the place of the JavaScript library's.
 * @param vocab the model's own, of tokenizer.json: ids by token, or of a Unigram model [token, score] pairs.
 */
export function findAddedTokensAsRust(tokenizer: HfTokenizer, vocab: unknown): void {
  const hf = tokenizer as Library;
  lowercaseByCharacter(hf.normalizer);
  const [verbatim, normalized] = [new AddedTokens(), new AddedTokens()];
  for (const token of hf.added_tokens) {
    if (token.normalized) normalized.add(hf.normalizer ? hf.normalizer(token.content) : token.content, token);
    else verbatim.add(token.content, token);
  }
  // Only the texts themselves, not what they are normalised to: that may be an ordinary piece of the model's.
  const added = new Map(hf.added_tokens.map((token) => [token.content, token]));
  hf.added_tokens_map = added;
  const { model } = hf;
  const own = new Set(Array.isArray(vocab) ? vocab.map(([token]) => token) : Object.keys(vocab ?? {}));
  for (const content of added.keys()) if (!own.has(content)) model.tokens_to_ids.delete(content);
  hf.token_to_id = (token) => added.get(token)?.id ?? model.tokens_to_ids.get(token);
  // A piece that the model does not know is no added token, even where it has the text of one.
  const known = (piece: string) => (own.has(piece) || !added.has(piece) ? piece : (model.unk_token ?? piece));
  hf.encode_text = (text) => {
    if (text === null) return null;
    return verbatim.split(text).flatMap((section, i) => {
      if (typeof section !== 'string') return [section.content];
      return normalized.split(hf.normalizer ? hf.normalizer(section) : section).flatMap((piece, j) => {
        if (typeof piece !== 'string') return [piece.content];
        // The index says whether the piece begins the text.
        return model(hf.pre_tokenizer ? hf.pre_tokenizer(piece, { section_index: i + j }) : [piece]).map(known);
      });
    });
  };
}

/** Rust lowers each character by itself; JavaScript makes another sigma of one that ends a word. */
function lowercaseByCharacter(normalizer: Normalizer | null): void {
  if (!normalizer) return;
  for (const part of normalizer.normalizers ?? []) lowercaseByCharacter(part);
  if (normalizer.config.type === 'Lowercase')
    normalizer.normalize = (text) => Array.from(text, (character) => character.toLowerCase()).join('');
}
