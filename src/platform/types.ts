/** What an adapter may be asked for. */
export interface AdapterOptions {
  powerPreference?: GPUPowerPreference;
  /** Insist on a software adapter. */
  software?: boolean;
  /** Let Dawn offer features that are no standard yet; a browser's flags decide on that. */
  experimental?: boolean;
}

/** Small texts that outlast the program, by key. */
export interface KeptTexts {
  /** The text under a key; undefined where there is none. @throws FileError */
  get(key: string): Promise<string | undefined>;
  /** Keeps a text as a whole, in the place of one that is there. @throws FileError */
  put(key: string, text: string): Promise<void>;
  /** Where a text is, for messages: a file, or a database and its key. */
  location(key: string): string;
}

/** What stands in a folder. */
export interface FolderEntry {
  readonly name: string;
  /** What it is, or what it links to; 'other' is a pipe, a device, or a link to nothing. */
  readonly kind: 'file' | 'folder' | 'other';
  /** Of a folder, where it really is: one that links to what holds it is known by that. */
  readonly realPath?: string;
}

/** A folder of files, wherever it is: on disk, behind a URL, picked in a page, or in memory. */
export interface Folder {
  /** Where it is, for messages: a path or a URL. */
  readonly location: string;
  /** `name` is relative to the folder, with `/` between segments. */
  has(name: string): Promise<boolean>;
  /** Bytes of a file. Throws where there is none. */
  size(name: string): Promise<number>;
  /** Bytes [start, end) of a file, by default all of them. */
  read(name: string, start?: number, end?: number): Promise<Uint8Array>;
  /**
   * What tells a file's content from another that it had or will have: an ETag, or a date. Undefined where nothing does. Absent where
   * files are not asked for over a network.
   */
  version?(name: string): Promise<string | undefined>;
  /** What stands in a subfolder ('' for the folder itself), in no order. Absent where nothing tells, as on a web server. */
  list?(name: string): Promise<FolderEntry[]>;
  /**
   * The name here of a file that is given by its path on this machine or its `file:` URL; undefined where it is not inside.
   * Absent where files have no paths.
   */
  nameOf?(path: string): Promise<string | undefined>;
  /** The folder for a number of reads that belong together. Where files come over a network, there is a reason to have it. */
  visit?(signal?: AbortSignal): Visit;
}

/** A folder that keeps what it has asked for, until it is closed. */
export interface Visit extends Folder {
  /**
   * Ends what runs; nothing can be read afterwards.
   * @param isDone whether all was read that belongs together. A folder that keeps what it reads may then say that it has it all.
   */
  close(isDone?: boolean): Promise<void>;
}

/**
 * A folder as a page gets it: the files of `<input type="file" webkitdirectory>` (by `webkitRelativePath`, or else by name), a directory
 * handle (`showDirectoryPicker`, `navigator.storage.getDirectory`), or the entry of one that was dropped (`webkitGetAsEntry`).
 */
export type PickedFolder = Iterable<File> | FileSystemDirectoryHandle | FileSystemDirectoryEntry;

/** A folder by its path or URL, `tiny-llava` for the checkpoint of the package, as a page gets it, or opened. */
export type FolderSource = string | URL | PickedFolder | Folder;

/** Writes a file of a folder, piece by piece. */
export type WritePieces = (name: string, pieces: AsyncIterable<Uint8Array>) => Promise<void>;

/** Where checkpoints are kept, and who is told why one is not. */
export interface CheckpointStoreOptions {
  /** Default: the browser's private file system (OPFS). Another: a folder that the user has picked, for reading and writing. */
  readonly directory?: FileSystemDirectoryHandle;
  /** Told why something is not kept. Nothing fails for that. Default: the console. */
  readonly onNote?: (note: StoreNote) => void;
}

/** Why something is not kept, or not now. */
export interface StoreNote {
  /**
   * - `unavailable`: the browser has no storage for this page, or refuses it, as in some private windows.
   * - `full`: it gives the site no more room.
   * - `busy`: another tab, or another load of this one, keeps the same checkpoint now.
   */
  readonly code: 'unavailable' | 'full' | 'busy';
  /** The same in a line, with the checkpoint and the way out. */
  readonly message: string;
}

/** A checkpoint that is kept, or a part of one. */
export interface KeptCheckpoint {
  /** It is found again by this. */
  readonly name: string;
  /** That are kept of it. */
  readonly bytes: number;
  /** Whether all is there that a load asks for: it then needs no network. */
  readonly whole: boolean;
}

/** Of a picture, in pixels. */
export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/** A decoded picture, as PIL's `convert('RGB')` gives it. */
export interface RgbImage extends PixelSize {
  /** RGB, 8 bits each, row by row from the top: width * height * 3 bytes. */
  readonly data: Uint8Array;
}

/** What a page draws with: the frame that it shows is taken. */
export type Drawable = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement | VideoFrame;

/**
 * A picture in any form: the bytes of its file, a Blob or File, where it is (a path in Node; a URL: `file:` in Node, `http:`,
 * `https:`, `data:`), its pixels (RGB, or RGBA such as ImageData, whose alpha is dropped), or, in a browser, what shows it.
 */
export type ImageSource =
  | Uint8Array
  | ArrayBuffer
  | DataView
  | Blob
  | URL
  | string
  | RgbImage
  | { readonly width: number; readonly height: number; readonly data: Uint8ClampedArray }
  | Drawable;

/** How a picture is read. */
export interface DecodeOptions {
  /** Ends the request of one that has a URL. */
  readonly signal?: AbortSignal;
  /** Images of more pixels are refused; 64 Mpixel by default. */
  readonly maxPixels?: number;
}

/** What is known of a video before its frames are chosen. */
export interface VideoInfo {
  readonly totalFrames: number;
  /** Frames a second. */
  readonly fps: number;
}

/** Frames of one size, in the order of time. */
export interface Video {
  readonly frames: readonly RgbImage[];
  /** How many of these frames are shown a second, if it is known. */
  readonly fps?: number;
}

/** Which frames of a video are taken, and how much they may be. */
export interface DecodeVideoOptions {
  /** Which frames to take, by their index from 0; one may be taken twice. */
  sample(info: VideoInfo): readonly number[];
  /** Names the video in errors: a file name as the user gave it. */
  readonly label?: string;
  /** Frames that take more bytes than this are refused; 1 GiB by default. */
  readonly maxBytes?: number;
}

/** A video as its owner has it: a file (its path or its bytes), or its frames as encoded images, in the order of time. */
export type VideoSource<Frame = ImageSource> = {
  /** For errors. */
  readonly name?: string;
} & (
  | { readonly file: string | Uint8Array }
  | {
      readonly frames: readonly Frame[];
      /** Frames a second, where it is known: Qwen2.5-VL counts time. */
      readonly fps?: number;
    }
);
