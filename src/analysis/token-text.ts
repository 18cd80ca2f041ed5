import type { Architecture } from '../model/families/family.ts';
import type { ModelInput } from '../model/input.ts';
import { placedGrids } from './positions.ts';

/** What is needed of a tokenizer. */
export interface TokenDecoder {
  /** The text of token ids; special tokens are left out by default. */
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
}

/**
 * A token as people can see it: spaces and line ends made visible, never empty, fit for XML. It is written as it stands
 * within a text, since at the beginning Llama's tokenizers leave its blank out.
 */
export function tokenText(tokenizer: TokenDecoder, id: number): string {
  const decode = (ids: number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });
  const text = decode([id, id]).slice(decode([id]).length);
  return visible(text) || `#${id}`;
}

/** Blanks at the ends as ␣, control characters as their pictures, unpaired surrogates and non-characters as �. */
export function visible(text: string): string {
  return text
    .replace(/^ +| +$/g, (blanks) => '␣'.repeat(blanks.length))
    .replaceAll('\n', '⏎')
    .replaceAll('\t', '⇥')
    .replace(/\p{Cc}/gu, (c) => (c < ' ' ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : '\ufffd'))
    .replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd');
}

/** For every position of a prompt its token's text, or `image 3,5`: row and column of the picture's patches. */
export function positionTexts(tokenizer: TokenDecoder, architecture: Architecture, input: ModelInput): string[] {
  const texts = Array.from(input.inputIds, (id) => tokenText(tokenizer, id));
  const grids = placedGrids(architecture, input);
  const several = input.visuals.length > 1;
  for (const { label, visual, rows, columns, positionOf } of grids)
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++)
        texts[positionOf(y, x)] = `${label}${several ? ` ${visual + 1}` : ''} ${y},${x}`;
  return texts;
}
