import { ImageError } from './errors.ts';
import type { OrientationSources } from './exif.ts';

/** What PIL unpacks of one text at most. */
const maxText = 2 ** 20;

const latin1 = (bytes: Uint8Array) => new TextDecoder('latin1').decode(bytes);
const exifText = 'Raw profile type exif';
const xmpText = 'XML:com.adobe.xmp';

/** The texts and blocks of a PNG that say how its picture is to be turned, as PIL's PngImagePlugin finds them. */
export class PngMetadata {
  readonly #label: string;
  #exif: Uint8Array | undefined;
  readonly #texts = new Map<string, { readonly bytes: Uint8Array; readonly compressed: boolean }>();
  #animated = false;
  #ended = false;

  constructor(label: string) {
    this.#label = label;
  }

  /** Takes a chunk that is not critical. @param afterPicture whether the picture's data came before it. */
  take(type: string, body: Uint8Array, afterPicture: boolean): void {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (type === 'acTL' && !afterPicture && body.length >= 8) this.#animated = view.getUint32(0) > 1;
    // What follows belongs to the next frame.
    if (type === 'fcTL' && this.#animated) this.#ended = true;
    if (this.#ended) return;
    if (type === 'eXIf') this.#exif = body;
    const end = body.indexOf(0);
    const key = latin1(body.subarray(0, Math.max(end, 0)));
    if (type === 'tEXt' && key === 'exif') this.#exif = body.subarray(end + 1);
    if (key !== exifText && key !== xmpText) return;
    if (type === 'tEXt') this.#texts.set(key, { bytes: body.subarray(end + 1), compressed: false });
    if (type === 'zTXt') this.#texts.set(key, { bytes: body.subarray(end + 2), compressed: true });
    if (type === 'iTXt') {
      const language = body.indexOf(0, end + 3);
      const translated = body.indexOf(0, language + 1);
      if (language > 0 && translated > 0)
        this.#texts.set(key, { bytes: body.subarray(translated + 1), compressed: body[end + 1] !== 0 });
    }
  }

  /** @throws ImageError for a text that unpacks to more than 1 MiB. */
  async sources(): Promise<OrientationSources> {
    const raw = this.#exif ? undefined : await this.#text(exifText);
    return { exif: this.#exif ?? (raw && unhex(latin1(raw))), xmp: await this.#text(xmpText) };
  }

  async #text(key: string): Promise<Uint8Array | undefined> {
    const text = this.#texts.get(key);
    if (!text?.compressed) return text?.bytes;
    const stream = new Blob([text.bytes as BlobPart]).stream().pipeThrough(new DecompressionStream('deflate'));
    const reader = stream.getReader();
    const out = new Uint8Array(maxText);
    let size = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return out.subarray(0, size);
        if (size + value.length > maxText) break;
        out.set(value, size);
        size += value.length;
      }
    } catch {
      return undefined; // a damaged text says nothing; so in PIL
    }
    await reader.cancel().catch(() => {});
    throw new ImageError(`${this.#label}: damaged PNG, its ${key} unpacks to more than ${maxText} bytes`);
  }
}

/** ImageMagick's form: an empty line, a name, a length, then lines of hexadecimal digits. */
function unhex(text: string): Uint8Array | undefined {
  const digits = text.split('\n').slice(3).join('').replaceAll(/\s/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
