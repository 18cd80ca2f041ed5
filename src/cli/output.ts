// The one way to write: everything that the command line says passes here, so that no text from outside reaches a terminal
// raw, and so that a stream that is closed or full ends the command in order.
import type { Writable } from 'node:stream';
import { printable } from '../base/printable.ts';

/** The exit code of a program whose reader went away (`| head`): as shells report it, 128 + SIGPIPE. */
export const brokenPipeCode = 141;

/** A stream of text for people and pipes. What cannot be written any more is dropped, and `failure` says why. */
class Output {
  readonly #stream: Writable;
  readonly #name: string;
  #failure: NodeJS.ErrnoException | undefined;
  /** Called when the stream fails first. */
  onFailure: (() => void) | undefined;

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.#name = name;
    stream.on('error', (e) => this.#fail(e));
  }

  /** Control characters are escaped, also within JSON, where their escapes mean the same. */
  write(text: string): void {
    if (this.#failure) return;
    try {
      this.#stream.write(printable(text));
    } catch (e) {
      this.#fail(e as Error); // files and devices are written at once
    }
  }

  /** What is wrong with the stream, for people; empty where its reader has just gone away. Undefined: nothing is. */
  get failure(): string | undefined {
    if (!this.#failure) return undefined;
    const { code, message } = this.#failure;
    if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') return '';
    return `${this.#name}: ${code === 'ENOSPC' ? 'no space left on the device' : message}`;
  }

  /** Resolves when all that was written is out, or never will be. */
  flush(): Promise<void> {
    return new Promise((done) => (this.#failure ? done() : this.#stream.write('', () => done())));
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (this.#failure) return;
    this.#failure = error;
    this.onFailure?.();
  }
}

/** Results. */
export const out = new Output(process.stdout, 'standard output');
/** Everything else: notes and errors. */
export const err = new Output(process.stderr, 'standard error');
