import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VideoError } from './errors.ts';
import { PpmReader } from './ppm.ts';
import type { DecodeVideoOptions, RgbImage, Video, VideoInfo } from './types.ts';

const defaultMaxBytes = 2 ** 30;
/** Nearly an hour at 30 frames a second. All are decoded to be counted. */
const maxFrames = 100_000;
/** For each of the two runs over a video: counting its frames, and taking some. */
const maxSeconds = 300;

/** Containers of one file each: not playlists and the like, which name other files or addresses. */
const containers = 'mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,gif,asf,mp4';
/** Options that open the file and nothing else, whatever it says. */
const input = (path: string) => [
  ...['-protocol_whitelist', 'file', '-format_whitelist', containers],
  ...['-i', `file:${path}`],
];

/**
 * Frames of a video file (MP4, MOV, MKV, WebM, AVI, GIF, …) as RGB, turned upright. ffmpeg and ffprobe on the PATH decode it.
 * @param source a path, a `file:` URL, or the bytes of the file.
 * @throws VideoError where ffmpeg is missing, the file cannot be decoded, or the frames take more than `maxBytes`.
 */
export async function decodeVideo(source: string | URL | Uint8Array, options: DecodeVideoOptions): Promise<Video> {
  if (source instanceof Uint8Array) return decodeBytes(source, options);
  const path = resolve(String(source).startsWith('file:') ? fileURLToPath(source) : String(source));
  const label = options.label ?? String(source);
  const isFile = await stat(path).then(
    (s) => s.isFile(),
    () => false,
  );
  if (!isFile) throw new VideoError(`${label}: there is no such file`);
  return decodeFile({ path }, label, options);
}

/** A file, perhaps one that has no name any more: then it is open, once for each run of a program. */
interface VideoFile {
  readonly path: string;
  readonly handles?: readonly [probe: FileHandle, read: FileHandle];
}

async function decodeFile({ path, handles }: VideoFile, label: string, options: DecodeVideoOptions): Promise<Video> {
  const info = await probe(path, label, handles?.[0].fd);
  const chosen = options.sample(info);
  check(chosen, info, label);
  const indices = [...new Set(chosen)].sort((a, b) => a - b);
  const { maxBytes = defaultMaxBytes } = options;
  const frames = await readFrames(path, label, indices, maxBytes, handles?.[1].fd);
  return {
    frames: chosen.map((index) => frames[indices.indexOf(index)]),
    fps: (chosen.length / info.totalFrames) * info.fps,
  };
}

/**
 * Through a temporary file: most containers cannot be read from a pipe. It loses its name before anything is in it, so that
 * nothing stays where this process is killed; on Windows, which has no names for open files, it is deleted at the end.
 */
async function decodeBytes(bytes: Uint8Array, options: DecodeVideoOptions): Promise<Video> {
  const path = join(tmpdir(), `headlight-video-${randomUUID()}`);
  const label = options.label ?? 'video';
  const handles: FileHandle[] = [];
  const opened = async (flags: string) => {
    const handle = await open(path, flags, 0o600);
    handles.push(handle);
    return handle;
  };
  try {
    const writer = await opened('wx');
    const isNameless = process.platform !== 'win32';
    const readers = isNameless ? ([await opened('r'), await opened('r')] as const) : undefined;
    if (isNameless) await rm(path);
    await writer.writeFile(bytes);
    return await decodeFile(readers ? { path: '/dev/fd/3', handles: readers } : { path }, label, options);
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
    await rm(path, { force: true });
  }
}

function check(chosen: readonly number[], { totalFrames }: VideoInfo, label: string): void {
  if (chosen.length === 0) throw new VideoError(`${label}: no frame was chosen`);
  const wrong = chosen.find((index) => !(Number.isInteger(index) && index >= 0 && index < totalFrames));
  if (wrong !== undefined)
    throw new VideoError(`${label}: frame ${wrong} was asked for, it has frames 0 to ${totalFrames - 1}`);
}

/** Counts the frames by decoding them: what containers say of themselves is often wrong. */
async function probe(path: string, label: string, fd?: number): Promise<VideoInfo> {
  const entries = 'stream=nb_read_frames,avg_frame_rate,r_frame_rate';
  const some = ['-select_streams', 'v:0', '-read_intervals', `%+#${maxFrames + 1}`];
  const args = ['-v', 'error', ...some, '-count_frames', '-show_entries', entries, '-of', 'json'];
  let text = '';
  await run('ffprobe', [...args, ...input(path)], { label, fd }, (chunk) => {
    text += chunk.toString('utf8');
    if (text.length > 100_000) throw new VideoError(`${label}: ffprobe says too much`);
  });
  const stream = parseProbe(text, label);
  const totalFrames = Number(stream.nb_read_frames);
  const fps = rate(stream.avg_frame_rate) ?? rate(stream.r_frame_rate);
  if (!(Number.isSafeInteger(totalFrames) && totalFrames > 0)) throw new VideoError(`${label}: it has no frames`);
  if (totalFrames > maxFrames)
    throw new VideoError(`${label}: it has more than ${maxFrames} frames; cut out the part that you want`);
  if (fps === undefined) throw new VideoError(`${label}: its frame rate is not known; convert it to MP4`);
  return { totalFrames, fps };
}

type Probe = Partial<Record<'nb_read_frames' | 'avg_frame_rate' | 'r_frame_rate', unknown>>;

function parseProbe(text: string, label: string): Probe {
  let streams: unknown;
  try {
    streams = (JSON.parse(text) as { streams?: unknown }).streams;
  } catch {
    throw new VideoError(`${label}: ffprobe answers in no way that is understood`);
  }
  const [stream] = Array.isArray(streams) ? streams : [];
  if (!stream) throw new VideoError(`${label}: it has no pictures`);
  return stream as Probe;
}

/** 30000/1001 */
function rate(text: unknown): number | undefined {
  const [over, under] = String(text).split('/').map(Number);
  const fps = over / under;
  return Number.isFinite(fps) && fps > 0 ? fps : undefined;
}

async function readFrames(path: string, label: string, indices: readonly number[], maxBytes: number, fd?: number) {
  const frames: RgbImage[] = [];
  const reader = new PpmReader();
  let left = maxBytes;
  const allocate = (bytes: number) => {
    left -= bytes;
    if (left < 0)
      throw new VideoError(
        `${label}: ${indices.length} frames take more than ${maxBytes} bytes; take fewer frames or make the video smaller`,
      );
    return new Uint8Array(bytes);
  };
  const select = `select='${sum(indices.map((i) => `eq(n,${i})`))}'`;
  const output = ['-frames:v', String(indices.length), '-fps_mode', 'passthrough', '-c:v', 'ppm', '-f', 'image2pipe'];
  const args = ['-v', 'error', '-nostdin', ...input(path), '-map', '0:v:0', '-vf', select, ...output, '-'];
  await run('ffmpeg', args, { label, fd }, (chunk) => {
    try {
      frames.push(...reader.push(chunk, allocate));
    } catch (e) {
      throw e instanceof VideoError ? e : new VideoError(`${label}: ${(e as Error).message}`);
    }
  });
  if (!reader.isBetweenPictures || frames.length !== indices.length)
    throw new VideoError(`${label}: ${indices.length} frames were asked for, ffmpeg gave ${frames.length}`);
  return frames;
}

/** As a tree of brackets: ffmpeg gives up on an expression that goes a hundred deep, and a chain of sums does. */
function sum(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0];
  const half = terms.length >> 1;
  return `(${sum(terms.slice(0, half))}+${sum(terms.slice(half))})`;
}

/** Runs a program to its end, or ours, and hands over what it writes, no faster than it is taken. @param fd is its /dev/fd/3. */
async function run(
  program: string,
  args: readonly string[],
  { label, fd }: { readonly label: string; readonly fd?: number },
  take: (chunk: Buffer) => void,
) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])] });
  const stop = () => child.kill('SIGKILL');
  process.once('exit', stop);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stop();
  }, maxSeconds * 1000);
  let complaints = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString('utf8')).slice(-2000);
  });
  const ended = new Promise<number | null>((done, fail) => {
    child.on('error', fail);
    child.on('close', done);
  });
  // Handled below, where it is awaited; a failure before that must not end the process.
  ended.catch(() => {});
  try {
    for await (const chunk of child.stdout!) take(chunk as Buffer);
    const code = await ended;
    if (late)
      throw new VideoError(`${label}: ${program} took more than ${maxSeconds} seconds; cut out the part that you want`);
    if (code !== 0) {
      // The file's own name may be that of a temporary one.
      const complaint = lastLine(complaints)?.replace(`${args[args.indexOf('-i') + 1]}: `, '');
      throw new VideoError(
        `${label}: ${program} fails: ${complaint || `exit code ${code}`}; convert it to MP4, or give its frames as images`,
      );
    }
  } catch (e) {
    stop();
    if ((e as NodeJS.ErrnoException).code === 'ENOENT')
      throw new VideoError(
        `${label}: ${program} is not on the PATH; install ffmpeg (5.1 or newer: apt-get install ffmpeg, brew install ffmpeg), or give the frames as images`,
      );
    throw e;
  } finally {
    clearTimeout(timer);
    process.off('exit', stop);
  }
}

const lastLine = (text: string) => text.trim().split('\n').at(-1)?.trim();
