// What `npm run build` has written, as a package: its source maps and declaration maps lead to sources that it ships too.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const { files: shipped } = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[] };
const isShipped = (path: string) => shipped.some((each) => path === each || path.startsWith(`${each}/`));

describe('the built package', () => {
  let files: string[];
  beforeAll(() => {
    if (!existsSync('dist')) throw new Error('dist/ is not there: npm run build');
    files = readdirSync('dist', { recursive: true, encoding: 'utf8' }).map(
      (file) => `dist/${file.replaceAll('\\', '/')}`,
    );
  });

  it('has a map of every module and of its types, which it names', () => {
    const built = files.filter((file) => /\.(js|d\.ts)$/.test(file));
    expect(built.length).toBeGreaterThan(300);
    for (const file of built) {
      const [, map] = /\n\/\/# sourceMappingURL=(\S+)\s*$/.exec(readFileSync(file, 'utf8')) ?? [];
      expect(map, file).toBe(`${posix.basename(file)}.map`);
      expect(files).toContain(`${dirname(file)}/${map}`);
    }
  });

  it('ships the one source of each map, in the place that the map says', () => {
    for (const map of files.filter((file) => file.endsWith('.map'))) {
      const { sourceRoot, sources } = JSON.parse(readFileSync(map, 'utf8')) as {
        sourceRoot: string;
        sources: string[];
      };
      const source = posix.join(dirname(map), sourceRoot, sources[0]);
      expect(sources, map).toHaveLength(1);
      // A file of the sources that is gone leaves its build behind, where nobody has emptied dist/.
      expect(existsSync(source) && isShipped(source), `${map} leads to ${source}`).toBe(true);
      expect(source.replace(/^src\//, 'dist/'), map).toBe(map.replace(/(\.d\.ts|\.js)\.map$/, '.ts'));
    }
  });
});
