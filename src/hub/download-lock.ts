// One process at a time downloads into a folder. The lock is a file there that says who holds it, and is touched while it is
// held. A crashed process does not leave it for ever: on the same machine its process is seen to be gone; on another machine
// that shares the disk, the file is seen to be touched no more. No clocks are compared.
//
// In the worst case (a machine that slept while another took over) two may hold it. Then the bytes are still right: what is
// renamed was hashed on the disk, and `check` is asked before anything is written.

import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { link, open, readFile, readlink, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as s from '../base/schema.ts';
import { DownloadError } from './errors.ts';

const lockFile = '.headlight-download.lock';
const beatSeconds = 5;
/** Looks, a second apart, at a lock that nobody touches before it is taken from a holder that cannot be asked. */
const looks = 30;

const schema = s.object({
  token: s.string(),
  pid: s.int(1),
  /** The machine, and on Linux its start and the space of its process ids: containers share names and disks. */
  machine: s.string(),
  /** Tells a process from a later one with its id. Absent where the system does not say. */
  started: s.optional(s.string()),
});
type Holder = s.InferOutput<typeof schema>;

interface Seen {
  /** Undefined where the file says nothing (yet): its writer may be about to. */
  readonly holder: Holder | undefined;
  readonly text: string;
  readonly touched: number;
}

export interface LockOptions {
  signal: AbortSignal;
  note: (text: string) => void;
  /** Between two looks at another's lock. */
  lookSeconds?: number;
}

export class FolderLock {
  readonly #path: string;
  readonly #token: string;
  readonly #timer: NodeJS.Timeout;
  readonly #onExit: () => void;
  #touched = Date.now();

  private constructor(path: string, token: string) {
    this.#path = path;
    this.#token = token;
    this.#timer = setInterval(() => void this.#touch(), beatSeconds * 1000).unref();
    this.#onExit = () => rmSync(path, { force: true }); // a second Ctrl-C
    process.once('exit', this.#onExit);
  }

  /**
   * Waits until nobody else downloads into a folder.
   * @throws the system’s error where no lock can be written; the signal's reason when aborted.
   */
  static async take(folder: string, { signal, note, lookSeconds = 1 }: LockOptions): Promise<FolderLock> {
    const path = join(folder, lockFile);
    let last: Seen | undefined;
    let unchanged = 0;
    let told: string | undefined;
    for (;;) {
      signal.throwIfAborted();
      const token = await create(path);
      if (token !== undefined) return new FolderLock(path, token);
      const seen = await look(path);
      if (!seen) continue;
      unchanged = seen.text === last?.text && seen.touched === last.touched ? unchanged + 1 : 0;
      last = seen;
      const alive = await isAlive(seen.holder);
      if (alive === false || (alive === undefined && unchanged >= looks)) {
        await takeAway(path, seen);
        continue;
      }
      if (seen.holder && told !== seen.holder.token) {
        told = seen.holder.token;
        const { pid, machine } = seen.holder;
        const [host] = machine.split(' ');
        note(
          `process ${pid} on ${host} downloads into ${folder}; waiting until it is done (if it is none, delete ${path})`,
        );
      }
      await sleep(lookSeconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /**
   * To be asked before writing. It looks at the disk only where this process may have slept so long that others took it for gone.
   * @throws DownloadError where another process has the folder now.
   */
  async check(): Promise<void> {
    if (Date.now() - this.#touched < 2 * beatSeconds * 1000) return;
    await this.#touch();
    if ((await look(this.#path))?.holder?.token !== this.#token)
      throw new DownloadError(
        `${this.#path}: another process has taken over while this one was stopped; run again to wait for it`,
      );
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    process.off('exit', this.#onExit);
    if ((await look(this.#path))?.holder?.token === this.#token) await rm(this.#path, { force: true });
  }

  async #touch(): Promise<void> {
    if ((await look(this.#path))?.holder?.token !== this.#token) return;
    const now = new Date();
    await utimes(this.#path, now, now).then(
      () => {
        this.#touched = now.getTime();
      },
      () => {},
    );
  }
}

/** @returns undefined where there is a lock already. */
async function create(path: string): Promise<string | undefined> {
  const holder: Holder = {
    token: randomUUID(),
    pid: process.pid,
    machine: await machine(),
    started: await startOf(process.pid),
  };
  try {
    const handle = await open(path, 'wx');
    await handle.writeFile(JSON.stringify(holder)).finally(() => handle.close());
    return holder.token;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw e;
  }
}

async function look(path: string): Promise<Seen | undefined> {
  try {
    const { mtimeMs: touched } = await stat(path);
    const text = await readFile(path, 'utf8');
    let holder: Holder | undefined;
    try {
      holder = s.check(schema, JSON.parse(text)).value;
    } catch {
      holder = undefined;
    }
    return { holder, text, touched };
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw e;
  }
}

/** Renamed first: of several that want to take it away one does, and it finds out whether it was the one that was judged. */
async function takeAway(path: string, seen: Seen): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw e;
  }
  const moved = await look(aside);
  if (moved?.text !== seen.text) await link(aside, path).catch(() => {}); // another's, made meanwhile: back with it
  await rm(aside, { force: true });
}

/** @returns undefined where that cannot be known from here. */
async function isAlive(holder: Holder | undefined): Promise<boolean | undefined> {
  if (!holder || holder.machine !== (await machine())) return undefined;
  try {
    process.kill(holder.pid, 0);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return holder.started === (await startOf(holder.pid));
}

async function machine(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const ids = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${hostname()} ${boot.trim()} ${ids}`.trim();
}

/** When a process started, in the system's own count. */
async function startOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}
