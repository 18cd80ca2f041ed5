// The tab Kernels in Chromium: kernels are verified and timed, custom ones checked, results saved and compared.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BenchmarkFile, decodeBenchmarkFile } from '../../src/verify/benchmark-file.ts';
import { chromiumPath } from '../chromium.ts';
import { headlight } from '../cli/headlight.ts';
import { axeProblems, Site, tooWide } from './site.ts';

/** Once it is told to, the worker loses the next device that compiles a layer norm. */
const crash = `{
  let armed = false;
  const told = new BroadcastChannel('crash');
  told.onmessage = () => { armed = true; told.postMessage('armed'); };
  const { createShaderModule } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (described) {
    if (armed && described.label.startsWith('layerNorm')) {
      armed = false;
      this.destroy();
    }
    return createShaderModule.call(this, described);
  };
}`;

const title = 'the tab Kernels in Chromium';

describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const complaints: string[] = [];
  let site: Site;
  let page: Page;
  beforeAll(async () => {
    site = await Site.open();
    page = await site.visit(complaints);
    await page.route(/assets\/main-.*\.js$/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${crash}${await response.text()}` });
    });
    await page.goto(site.url);
    await page.getByRole('button', { name: 'Cancel' }).click(); // kernels need no model
    await page.getByRole('tab', { name: 'Kernels' }).click();
    await button('Measure').waitFor();
  });
  afterAll(async () => {
    await site?.close();
  });

  const button = (name: string) => page.getByRole('button', { name, exact: true });
  const idle = () => page.locator('.job-bar[data-running=false]').waitFor({ state: 'attached', timeout: 60_000 });
  const measure = async (filter: string, rounds: number) => {
    await page.getByLabel('Only problems whose name contains').fill(filter);
    await page.getByLabel('Rounds').selectOption(String(rounds));
    await button('Measure').click();
  };
  const times = () => page.getByRole('region', { name: 'Times of kernels' });
  const saved = async (): Promise<readonly [file: BenchmarkFile, path: string]> => {
    const download = page.waitForEvent('download');
    await button('Save as JSON').click();
    const path = await (await download).path();
    return [decodeBenchmarkFile(readFileSync(path), 'headlight-bench.json'), path];
  };
  const check = async (wgsl: string) => {
    await page.getByLabel('WGSL source').fill(wgsl);
    await button('Check against float64').click();
    await idle();
  };
  const outcome = () => page.locator('.check-outcome').innerText();

  it('says that a software adapter is no GPU', async () => {
    expect(await page.getByText('This is a software adapter').innerText()).toContain('not those of a GPU');
  });

  it('a device that is lost leaves a row that says so, and the queue goes on; what was measured is a file of bench', async () => {
    await page.evaluate(`new Promise((done) => {
      const channel = new BroadcastChannel('crash');
      channel.onmessage = done;
      channel.postMessage('arm');
    })`);
    await measure('Norm [60,128]', 3);
    await idle();
    const [lost, ...rest] = await times().locator('tbody').allInnerTexts();
    expect(lost).toMatch(/^layerNorm \[60,128\]\s+not timed: the GPU was lost while this ran/);
    expect(rest).toHaveLength(1);
    expect(rest[0]).toMatch(/^rmsNorm \[60,128\]\s+default\s/);
    expect(await page.getByText('1 problem failed').innerText()).toContain('not in the file');

    const [file, path] = await saved();
    expect(file.adapter.software).toBe(true);
    expect(file.runtime).toContain('Chrome');
    expect(file).toMatchObject({ rounds: 3, clock: 'wall' });
    expect(file.rows.map(({ op, candidate }) => [op, candidate])).toEqual([
      ['rmsNorm', 'default'],
      ['rmsNorm', 'workgroup'],
    ]);
    for (const { milliseconds, error, gflops, rooflineShare } of file.rows) {
      expect(rest[0]).toContain(milliseconds.toFixed(3));
      expect(rest[0]).toContain(`${(100 * rooflineShare).toFixed(rooflineShare < 0.0995 ? 1 : 0)} %`);
      expect(gflops).toBeGreaterThan(0);
      expect(error).toBeLessThan(1e-7);
    }
    expect(await page.locator('.roofline circle').count()).toBe(2);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await button('Copy as JSON').click();
    await page.getByText('Copied.').waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(readFileSync(path, 'utf8'));
    const compared = await headlight('bench', '--compare', path, path);
    expect(compared.code, compared.stderr).toBe(0);
    expect(compared.stdout).toContain('geometric mean of B / A: 1.00 over 2 rows');
  });

  it('two results are compared, and what is no result is refused by name', async () => {
    const [file] = await saved();
    const twice = { ...file, rows: file.rows.map((row) => ({ ...row, milliseconds: 2 * row.milliseconds })) };
    const give = (side: string, name: string, content: unknown) =>
      page.getByLabel(`Open ${side}`).setInputFiles({
        name,
        mimeType: 'application/json',
        buffer: Buffer.from(JSON.stringify(content)),
      });
    await button('A is what was measured here').click();
    await give('B', 'broken.json', { rows: [] });
    await page.getByText('broken.json: not a file of benchmarks').waitFor();
    const large = join(site.folder, 'large.json');
    writeFileSync(large, Buffer.alloc(2 ** 24 + 1, ' '));
    await page.getByLabel('Open B').setInputFiles(large);
    await page.getByText('large.json: 16777217 bytes are too many for a result').waitFor();
    await give('B', 'after.json', twice);
    await page.getByText('geometric mean over 2 rows').waitFor();
    expect(await page.getByText('geometric mean over').innerText()).toContain('B takes 2.00 times');
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  it('Cancel ends a queue at once, keeps what was measured, and the next queue runs', async () => {
    await measure('Norm', 3);
    await times().locator('tbody').first().waitFor({ timeout: 60_000 });
    const took = await page.evaluate<number>(`(async () => {
      const cancel = [...document.querySelectorAll('button')].find((button) => button.textContent === 'Cancel');
      const from = performance.now();
      cancel.click();
      while (cancel.isConnected) await new Promise(requestAnimationFrame);
      return performance.now() - from;
    })()`);
    expect(took).toBeLessThan(500);
    expect(await times().locator('tbody').first().innerText()).toContain('layerNorm [60,128]');
    expect(await page.getByText('Ended after').innerText()).toMatch(/^Ended after \d of \d+ problems\.$/);
    await measure('add [60,128]', 1);
    await expect
      .poll(() => times().locator('tbody').allInnerTexts(), { timeout: 60_000 })
      .toEqual([expect.stringMatching(/^add \[60,128\]/)]);
  });

  const main = '@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) id: vec3u)';
  const sum = (right: string) => `${main} {\n  if (id.x < params.count) {\n    out[id.x] = ${right};\n  }\n}\n`;

  it('source that does not compile is refused at its line', async () => {
    await check(sum('a[id.x] +'));
    const place = page.getByRole('button', { name: 'line 4, column' });
    expect(await place.innerText()).toBe('line 4, column 26');
    await place.click();
    const selected = await page.evaluate(
      '((field) => field.value.slice(field.selectionStart, field.selectionEnd))(document.activeElement)',
    );
    expect(selected).toBe('    out[id.x] = a[id.x] +;');
    expect(await button('Time it beside ours').isDisabled()).toBe(true);
  });

  it('a kernel that is wrong is refused with its error, one that is right takes turns with ours', async () => {
    await check(sum('a[id.x] - b[id.x]'));
    expect(await outcome()).toMatch(/Wrong on 5 of 5 problems[\s\S]*\[7,33\]: NMSE \d\S* exceeds 1e-7/);
    expect(await button('Time it beside ours').isDisabled()).toBe(true);
    await check(sum('a[id.x] + b[id.x]'));
    expect(await outcome()).toContain('Right on all 5 problems');
    await button('Time it beside ours').click();
    await idle();
    const [{ rows, check: checked }] = await saved();
    expect(rows.map(({ sizes, candidate }) => [sizes, candidate])).toEqual([
      ['[60,128]', 'default'],
      ['[60,128]', 'own.wgsl'],
      ['[640,4096]', 'default'],
      ['[640,4096]', 'own.wgsl'],
    ]);
    expect(checked?.rows).toHaveLength(5);
    await page.getByRole('button', { name: 'Show the header of add' }).click();
    expect(await page.locator('.source-header').innerText()).toContain('var<storage, read> a');
  });

  it.each(['light', 'dark'] as const)(
    'has nothing that axe objects to, and fits narrow screens: %s',
    async (colorScheme) => {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width: colorScheme === 'light' ? 1280 : 320, height: 900 });
      expect(await axeProblems(page)).toEqual([]);
      expect(await tooWide(page)).toEqual([]);
    },
  );

  it('nothing was refused, thrown or logged as an error', () => expect(complaints).toEqual([]));
});
