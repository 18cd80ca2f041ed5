import type { RgbImage } from './types.ts';

/** `P6`, width, height and 255, a line break after the last of them; ffmpeg writes it in 24 bytes at most. */
const header = /^P6\n(\d{1,5}) (\d{1,5})\n255\n/;
const maxHeader = 24;

/** Takes pictures out of a stream of PPM files, one after the other, as the bytes arrive. */
export class PpmReader {
  #pending = new Uint8Array();
  #picture: RgbImage | undefined;
  #filled = 0;

  /** Whether the stream may end here. */
  get isBetweenPictures(): boolean {
    return this.#picture === undefined && this.#pending.length === 0;
  }

  /**
   * The pictures that are complete with these bytes.
   * @param allocate is asked for the memory of each picture, and may refuse.
   * @throws Error for bytes that are no PPM file.
   */
  push(chunk: Uint8Array, allocate: (bytes: number) => Uint8Array): RgbImage[] {
    const done: RgbImage[] = [];
    let bytes = chunk;
    while (bytes.length > 0) {
      if (!this.#picture) {
        const start = new Uint8Array(this.#pending.length + Math.min(bytes.length, maxHeader));
        start.set(this.#pending);
        start.set(bytes.subarray(0, maxHeader), this.#pending.length);
        const match = header.exec(String.fromCharCode(...start.subarray(0, maxHeader)));
        if (!match) {
          if (start.length >= maxHeader) throw new Error('the stream of frames is damaged'); // node-video.ts says of which video
          this.#pending = start;
          return done;
        }
        bytes = bytes.subarray(match[0].length - this.#pending.length);
        this.#pending = new Uint8Array();
        const [width, height] = [Number(match[1]), Number(match[2])];
        this.#picture = { width, height, data: allocate(width * height * 3) };
        this.#filled = 0;
      }
      const { data } = this.#picture;
      const part = bytes.subarray(0, data.length - this.#filled);
      data.set(part, this.#filled);
      this.#filled += part.length;
      bytes = bytes.subarray(part.length);
      if (this.#filled === data.length) {
        done.push(this.#picture);
        this.#picture = undefined;
      }
    }
    return done;
  }
}
