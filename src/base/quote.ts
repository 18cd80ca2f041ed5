// Text, values and shapes from files, fit for a message: on one line, without control characters, cut where they are too long.
import { printable } from './printable.ts';

const cut = (text: string): string => (text.length > 120 ? `${text.slice(0, 100)}… (${text.length} characters)` : text);

/** Text from a file, fit for a message: control characters escaped, and cut where it is absurdly long. */
export const quote = (text: string): string => printable(JSON.stringify(cut(text)));

/** The same of any value of a JSON file, on one line. */
export const quoteValue = (value: unknown): string => printable(cut(JSON.stringify(value) ?? String(value)));

/** A shape for a message; ranks that no tensor has are cut. */
export function showShape(shape: readonly number[]): string {
  return shape.length > 16 ? `[${shape.slice(0, 16).join(', ')}, … (rank ${shape.length})]` : `[${shape.join(', ')}]`;
}
