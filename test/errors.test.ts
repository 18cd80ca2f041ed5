// One base and one table for all errors: what is thrown can be told apart by class and by code.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorCodes, HeadlightError } from '../src/base/error.ts';
import * as checkpoint from '../src/checkpoint/errors.ts';
import { UsageError } from '../src/cli/context.ts';
import * as gpu from '../src/gpu/errors.ts';
import * as hub from '../src/hub/errors.ts';
import * as core from '../src/index.ts';
import * as model from '../src/model/errors.ts';
import { JinjaError } from '../src/model/processor/jinja/values.ts';
import * as platform from '../src/platform/errors.ts';
import * as sav from '../src/sav/errors.ts';
import * as savEntry from '../src/sav/index.ts';

/** Files that may make plain errors: how many, and why nobody outside meets one. */
const plain: Readonly<Record<string, readonly [count: number, why: string]>> = {
  'src/cli/download.ts': [1, 'after Ctrl-C: printed, then exit code 130'],
  'src/cli/program.ts': [3, 'reasons of aborts, and what is no error, made one to be printed'],
  'src/platform/decode-image.ts': [1, 'a mark that the same function catches'],
  'src/platform/http-file.ts': [1, 'a wait that ends: a FileError is made of it'],
  'src/platform/kept-folder.ts': [1, 'why nothing is kept: a note is made of it'],
  'src/platform/node-write.ts': [2, 'stand for errors of the system; the same function makes a FileError of them'],
  'src/platform/node-kept-texts.ts': [1, 'its own catch makes a FileError of it, with the name of the file'],
  'src/platform/ppm.ts': [1, 'node-video.ts makes a VideoError of it, with the name of the video'],
  'src/platform/stall.ts': [1, 'the reason of an abort, which comes back within a HubError or a FileError'],
  'src/sav/gaussian.ts': [1, 'a matrix that is not definite: all that are solved are shrunk, or have a ridge'],
};

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => `src/${file.replaceAll('\\', '/')}`);
const sources = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));

type ErrorClass = new (...words: never[]) => HeadlightError;
const { refuseWebPage: _, ...hubErrors } = hub;
const classes: Readonly<Record<string, ErrorClass>> = {
  ...gpu,
  ...platform,
  ...checkpoint,
  ...model,
  ...hubErrors,
  ...sav,
  JinjaError,
  UsageError,
};

describe('errors', () => {
  it('are of classes of ours; plain ones are listed, with the reason', () => {
    const found = [...sources].flatMap(([file, text]) => {
      const count = text.match(/\bnew (?:Range|Type|Syntax|Reference|Aggregate)?Error\(/g)?.length;
      return count ? [[file, count]] : [];
    });
    expect(Object.fromEntries(found)).toEqual(
      Object.fromEntries(Object.entries(plain).map(([file, [count]]) => [file, count])),
    );
  });

  it('have one base', () => {
    const bases = [...sources].filter(([, text]) => /extends (?:Range|Type|Syntax)?Error\b/.test(text));
    expect(bases.map(([file]) => file)).toEqual(['src/base/error.ts']);
    const declared = [...sources.values()].flatMap((text) =>
      Array.from(text.matchAll(/class (\w+) extends (?:HeadlightError|GpuError)\b/g), ([, name]) => name),
    );
    expect(declared.sort()).toEqual(Object.keys(classes).sort());
  });

  it('have a code and a name each, and every code has its class in the table', () => {
    const codes = Object.entries(classes).map(([name, Class]) => {
      const error = new (Class as new (...words: string[]) => HeadlightError)('it', 'is wrong');
      expect(error, name).toBeInstanceOf(HeadlightError);
      expect(error.name).toBe(name);
      expect(errorCodes[error.code], name).toContain(`(${name})`);
      return error.code;
    });
    expect(codes.sort()).toEqual(Object.keys(errorCodes).sort());
  });

  it('are exported where a caller of the library can meet them', () => {
    const inside = ['DownloadError', 'HubError', 'JinjaError', 'UsageError']; // of the command line; of the template within
    const outside = Object.keys(classes).filter((name) => !inside.includes(name));
    expect(Object.keys({ ...core, ...savEntry })).toEqual(
      expect.arrayContaining([...outside, 'HeadlightError', 'errorCodes']),
    );
  });
});
