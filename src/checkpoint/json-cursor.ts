// Reads JSON text from front to back, taking only what the caller asks for. JSON.parse will not do for files that may be
// hostile: of duplicate keys it keeps the last without a word, and it builds whatever the text spells out (100 MB of `[],`
// become gigabytes of arrays) before anybody can say that the value is of the wrong kind.

import { quote } from '../base/quote.ts';

// Escapes, and control characters, most of which JSON does not allow. Most names have neither.
const needsParsing = /[\\\p{Cc}]/u;
const maxDepth = 64;

/** A position in JSON text. Every method throws what `fail` makes of a description when the text is not what it takes. */
export class JsonCursor {
  readonly #text: string;
  readonly #fail: (problem: string) => Error;
  #at = 0;

  constructor(text: string, fail: (problem: string) => Error) {
    this.#text = text;
    this.#fail = fail;
  }

  /** An object; `onKey` must take the value of the key it is given. Throws on a duplicate key, which JSON.parse hides. */
  object(onKey: (key: string) => void): void {
    const keys = new Set<string>();
    this.#list('{', '}', () => {
      const at = this.#at;
      const key = this.string();
      if (keys.has(key)) throw this.#error(`a second ${quote(key)} in one object`, at);
      keys.add(key);
      this.#expect(':');
      onKey(key);
    });
  }

  /** An array; `onItem` must take one value. */
  array(onItem: () => void): void {
    this.#list('[', ']', onItem);
  }

  string(): string {
    this.#skipWhitespace();
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#error('expected a string', start);
    let end = start;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) throw this.#error('a string that does not end', start);
    } while (this.#isEscaped(end));
    this.#at = end + 1;
    const quoted = this.#text.slice(start, end + 1);
    try {
      return needsParsing.test(quoted) ? JSON.parse(quoted) : quoted.slice(1, -1);
    } catch {
      throw this.#error('a string that is not valid JSON', start);
    }
  }

  /** A whole number from 0 to 2^53 - 1, in digits only, as the reference takes it (`1.0` and `1e3` are refused). */
  integer(): number {
    this.#skipWhitespace();
    const start = this.#at;
    let value = 0;
    let at = start;
    for (let digit = this.#digit(at); digit >= 0 && digit <= 9; digit = this.#digit(++at)) {
      value = value * 10 + digit;
      if (value > Number.MAX_SAFE_INTEGER) throw this.#error('a number above 2^53', start);
      if (value === digit && at > start) throw this.#error('a number with a leading zero', start);
    }
    if (at === start) throw this.#error('expected a whole number that is not negative', start);
    this.#at = at;
    return value;
  }

  /** Any value, checked but not kept. */
  skip(depth = 0): void {
    if (depth > maxDepth) throw this.#error(`more than ${maxDepth} levels deep`, this.#at);
    this.#skipWhitespace();
    const first = this.#text[this.#at];
    if (first === '{') this.object(() => this.skip(depth + 1));
    else if (first === '[') this.array(() => this.skip(depth + 1));
    else if (first === '"') this.string();
    else {
      const literal = /^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?)/;
      const match = literal.exec(this.#text.slice(this.#at, this.#at + 400))?.[0];
      if (match === undefined) throw this.#error('expected a JSON value', this.#at);
      this.#at += match.length;
    }
  }

  /** Nothing but whitespace may follow. */
  end(): void {
    this.#skipWhitespace();
    if (this.#at < this.#text.length) throw this.#error('more text after the end of the JSON value', this.#at);
  }

  #list(open: string, close: string, onItem: () => void): void {
    this.#expect(open);
    if (this.#take(close)) return;
    do onItem();
    while (this.#take(','));
    this.#expect(close);
  }

  /** An odd number of backslashes precedes the quote. */
  #isEscaped(quote: number): boolean {
    let backslashes = 0;
    while (this.#text[quote - 1 - backslashes] === '\\') backslashes++;
    return backslashes % 2 === 1;
  }

  /** Not between 0 and 9 where there is no digit. */
  #digit(at: number): number {
    return this.#text.charCodeAt(at) - 48;
  }

  #take(character: string): boolean {
    this.#skipWhitespace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.#error(`expected ${character}`, this.#at);
  }

  #skipWhitespace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #error(problem: string, at: number): Error {
    const found = at < this.#text.length ? quote(this.#text.slice(at, at + 20)) : 'the end';
    return this.#fail(`${problem} at character ${at}, found ${found}`);
  }
}
