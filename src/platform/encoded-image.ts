/** A file that the platform is to decode, and what can be said of it before. */
export interface EncodedImage {
  readonly format: 'jpeg' | 'webp' | 'tiff' | 'avif';
  /** As stored, before it is turned. */
  readonly width: number;
  readonly height: number;
  /** 4 for CMYK. */
  readonly channels: number;
  /** Whether the platform's decoder gives partly transparent pixels. */
  readonly alpha: boolean;
  /** 1 to 8 (EXIF). */
  readonly orientation: number;
  /** What the decoder is given: the file, without what would make it turn the picture. */
  readonly file: Uint8Array;
  /** Where the picture lies on a larger, black one. */
  readonly canvas?: { readonly width: number; readonly height: number; readonly left: number; readonly top: number };
  /** TIFF: shades of grey of 16 bits, which PIL clips to 255. */
  readonly clipped?: boolean;
}
