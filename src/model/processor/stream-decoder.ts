/** Turns a sequence of ids into text that never has to be taken back. */
export class StreamDecoder {
  readonly #decode: (ids: number[]) => string;
  readonly #isDropped: (id: number) => boolean;
  readonly #isByte: (id: number) => boolean;
  /** Ids that are decoded anew with each one that comes: the last one given out (which tells whether a space follows), and those held back. */
  #window: number[] = [];
  /** Characters of the window's text that were given out. */
  #given = 0;

  constructor(
    decode: (ids: number[]) => string,
    { isDropped, isByte }: { isDropped(id: number): boolean; isByte(id: number): boolean },
  ) {
    this.#decode = decode;
    this.#isDropped = isDropped;
    this.#isByte = isByte;
  }

  /** Adds an id; returns the text that is now certain, which may be empty while a character is incomplete. */
  push(id: number): string {
    if (this.#isDropped(id)) return '';
    this.#window.push(id);
    // A run of byte tokens is one thing to the decoder: one bad byte in it spoils the good ones before.
    if (this.#isByte(id)) return '';
    const text = this.#decode(this.#window);
    if (text.endsWith('\ufffd')) return '';
    const piece = text.slice(this.#given);
    this.#window = [id];
    this.#given = this.#decode(this.#window).length;
    return piece;
  }

  /** The rest, after the last id: what was held back, complete or not. */
  end(): string {
    if (this.#window.length === 0) return '';
    const piece = this.#decode(this.#window).slice(this.#given);
    this.#window = [];
    this.#given = 0;
    return piece;
  }
}
