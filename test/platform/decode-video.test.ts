import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { decodeVideo } from '#platform';
import { decodeVideo as decodeInBrowser } from '../../src/platform/browser-video.ts';
import { PpmReader } from '../../src/platform/ppm.ts';
import { frames as pictures } from '../model/processor/pictures.ts';

const folder = mkdtempSync(join(tmpdir(), 'headlight-test-'));
const path = process.env.PATH;
afterEach(() => {
  process.env.PATH = path;
});
afterAll(() => rmSync(folder, { recursive: true }));
const all = ({ totalFrames }: { totalFrames: number }) => Array.from({ length: totalFrames }, (_, i) => i);

const hasFfmpeg = spawnSync('ffmpeg', ['-version']).status === 0 && spawnSync('ffprobe', ['-version']).status === 0;

describe.skipIf(!hasFfmpeg)('with ffmpeg (skipped where it is not installed)', () => {
  const shown = pictures(34, 22, 9);
  const video = join(folder, 'lossless.mkv');
  if (hasFfmpeg)
    execFileSync(
      'ffmpeg',
      [
        '-v',
        'error',
        '-y',
        '-f',
        'rawvideo',
        '-pix_fmt',
        'rgb24',
        '-s',
        '34x22',
        '-r',
        '4',
        '-i',
        '-',
        '-c:v',
        'ffv1',
        '-pix_fmt',
        'bgr0',
        video,
      ],
      { input: Buffer.concat(shown.map(({ data }) => data)) },
    );

  test('frames of a lossless video come back, and know how fast they follow each other', async () => {
    const { frames, fps } = await decodeVideo(video, { sample: all });
    expect(frames).toEqual(shown);
    expect(fps).toBe(4);
  });

  test.skipIf(process.platform === 'win32')(
    'the copy of a video given as bytes has no name while it is decoded',
    async () => {
      const copies = () => readdirSync(tmpdir()).filter((name) => name.startsWith('headlight-video-'));
      let during: string[] | undefined;
      const sample = () => {
        during = copies();
        return [0];
      };
      const before = copies();
      await decodeVideo(new Uint8Array(readFileSync(video)), { sample });
      expect([during, copies()]).toEqual([before, before]);
    },
  );

  test('frames that are chosen, in the order of choice, some twice', async () => {
    const infos: object[] = [];
    const sample = (info: object) => {
      infos.push(info);
      return [8, 0, 3, 3, 5];
    };
    const { frames, fps } = await decodeVideo(video, { sample });
    expect(frames).toEqual([8, 0, 3, 3, 5].map((i) => shown[i]));
    expect(infos).toEqual([{ totalFrames: 9, fps: 4 }]);
    expect(fps).toBe((5 / 9) * 4);
  });

  test('bytes, and more frames than an expression of ffmpeg might be thought to hold', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('headlight-video-'));
    const long = join(folder, 'long.mkv');
    const make = ['-f', 'lavfi', '-i', 'testsrc=size=16x8:rate=30', '-frames:v', '800', '-c:v', 'ffv1', long];
    execFileSync('ffmpeg', ['-v', 'error', '-y', ...make]);
    const { frames } = await decodeVideo(new Uint8Array(readFileSync(long)), {
      sample: (info) => all(info).slice(10, 790),
    });
    expect(frames).toHaveLength(780);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('headlight-video-'))).toEqual(before);
  });

  test('what is refused', async () => {
    const first = { sample: () => [0] };
    await expect(decodeVideo(join(folder, 'none.mp4'), first)).rejects.toThrow('none.mp4: there is no such file');
    await expect(decodeVideo(video, { sample: () => [9] })).rejects.toThrow(
      'frame 9 was asked for, it has frames 0 to 8',
    );
    await expect(decodeVideo(video, { sample: () => [] })).rejects.toThrow('no frame was chosen');
    await expect(decodeVideo(video, { sample: all, maxBytes: 8 * 34 * 22 * 3 })).rejects.toThrow(
      '9 frames take more than 17952 bytes; take fewer frames',
    );
    const text = join(folder, 'text.mp4');
    writeFileSync(text, 'no video at all');
    const complaint = 'ffprobe fails: Invalid data found when processing input; convert it to MP4, or give its frames';
    await expect(decodeVideo(text, first)).rejects.toThrow(`text.mp4: ${complaint}`);
    const label = 'by the name its owner gave it';
    await expect(decodeVideo(readFileSync(text), { ...first, label })).rejects.toThrow(`${label}: ${complaint}`);
    const sound = join(folder, 'sound.mkv');
    execFileSync('ffmpeg', ['-v', 'error', '-y', '-f', 'lavfi', '-i', 'sine=duration=0.2', sound]);
    await expect(decodeVideo(sound, first)).rejects.toThrow('sound.mkv: it has no pictures');
  });

  test('a playlist is not followed to other files', async () => {
    const list = join(folder, 'list.m3u8');
    writeFileSync(list, `#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n${video}\n#EXT-X-ENDLIST\n`);
    await expect(decodeVideo(list, { sample: all })).rejects.toThrow(/list\.m3u8: ffprobe fails/);
    const concat = join(folder, 'list.txt');
    writeFileSync(concat, `ffconcat version 1.0\nfile ${video}\n`);
    await expect(decodeVideo(concat, { sample: all })).rejects.toThrow(/list\.txt: ffprobe fails/);
  });
});

describe('with programs in the place of ffmpeg', () => {
  /** A PATH on which `ffprobe` and `ffmpeg` are shell scripts, and only they. */
  function programs(ffprobe: string | undefined, ffmpeg: string | undefined): void {
    const bin = join(folder, `bin-${Math.random()}`);
    mkdirSync(bin);
    for (const [name, script] of Object.entries({ ffprobe, ffmpeg })) {
      if (script === undefined) continue;
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    process.env.PATH = bin;
  }
  const file = join(folder, 'any.mp4');
  writeFileSync(file, 'any');
  const two = `echo '{"streams": [{"nb_read_frames": "2", "avg_frame_rate": "30000/1001", "r_frame_rate": "30/1"}]}'`;
  const ppm = (...values: string[]) => `printf 'P6\\n1 1\\n255\\n${values.join('')}'`;

  test('frames come through', async () => {
    programs(two, `${ppm('abc')}; ${ppm('xyz')}`);
    const { frames, fps } = await decodeVideo(file, { sample: all });
    expect(frames.map(({ data }) => String.fromCharCode(...data))).toEqual(['abc', 'xyz']);
    expect(fps).toBe(30000 / 1001);
  });

  test.each([
    [undefined, undefined, /any\.mp4: ffprobe is not on the PATH; install ffmpeg .*, or give the frames as images/],
    [two, undefined, /ffmpeg is not on the PATH/],
    ['echo nothing >&2; echo "file: broken" >&2; exit 1', 'exit 0', /ffprobe fails: file: broken/],
    ['exit 3', 'exit 0', /ffprobe fails: exit code 3/],
    ['echo hello', 'exit 0', /ffprobe answers in no way that is understood/],
    [`echo '{"streams": []}'`, 'exit 0', /it has no pictures/],
    [`echo '{"streams": [{"nb_read_frames": "0"}]}'`, 'exit 0', /it has no frames/],
    [`echo '{"streams": [{"nb_read_frames": "2", "avg_frame_rate": "0/0"}]}'`, 'exit 0', /its frame rate is not known/],
    [two, 'exit 0', /2 frames were asked for, ffmpeg gave 0/],
    [two, ppm('abc'), /2 frames were asked for, ffmpeg gave 1/],
    [two, `${ppm('abc')}; ${ppm('x')}`, /2 frames were asked for, ffmpeg gave 1/],
    [two, `${ppm('abc')}; ${ppm('xyz')}; ${ppm('123')}`, /2 frames were asked for, ffmpeg gave 3/],
    [two, `printf 'P6\\n99999 99999\\n255\\n'`, /take more than 1073741824 bytes/],
    [two, 'echo these are no pictures, not at all', /the stream of frames is damaged/],
    [two, `${ppm('abc')}; ${ppm('xyz')}; exit 1`, /ffmpeg fails: exit code 1/],
  ])('%s | %s', async (ffprobe, ffmpeg, message) => {
    programs(ffprobe, ffmpeg);
    await expect(decodeVideo(file, { sample: all })).rejects.toThrow(message);
  });
});

test('pictures of a stream are the same however it is cut', () => {
  const shown = pictures(5, 3, 4);
  const stream = Buffer.concat(shown.flatMap(({ data }) => [Buffer.from('P6\n5 3\n255\n'), data]));
  for (const step of [1, 2, 7, 11, 50, 56, 57, 1000]) {
    const reader = new PpmReader();
    const found = [];
    for (let at = 0; at < stream.length; at += step)
      found.push(...reader.push(stream.subarray(at, at + step), (n) => new Uint8Array(n)));
    expect(found).toEqual(shown);
    expect(reader.isBetweenPictures).toBe(true);
  }
});

test('a browser says what to do instead', async () => {
  await expect(decodeInBrowser('a.mp4', { sample: all })).rejects.toThrow(
    'a.mp4: video files are not decoded in a browser; draw its frames to a canvas',
  );
});
