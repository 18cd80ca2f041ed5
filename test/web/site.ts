import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { build, type PreviewServer, preview } from 'vite';
import { launchChromium } from '../chromium.ts';

/** The page as `npm run web:build` writes it, on a server of this machine. */
export class ServedPage {
  readonly url: string;
  readonly folder: string;
  readonly #server: PreviewServer;

  private constructor(folder: string, server: PreviewServer) {
    this.folder = folder;
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.httpServer.address() as AddressInfo).port}/`;
  }

  static async serve(): Promise<ServedPage> {
    const folder = mkdtempSync(join(tmpdir(), 'headlight-web-'));
    const how = { configFile: 'web/vite.config.ts', build: { outDir: folder, emptyOutDir: true } };
    process.env.NODE_ENV = 'production'; // a test runner's own value would make another page
    await build({ ...how, logLevel: 'error' });
    const server = await preview({ ...how, logLevel: 'error', preview: { port: 0, host: '127.0.0.1' } });
    return new ServedPage(folder, server);
  }

  async close(): Promise<void> {
    await this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The served page, and Chromium to visit it. */
export class Site {
  readonly url: string;
  readonly folder: string;
  readonly browser: Browser;
  readonly #served: ServedPage;

  private constructor(served: ServedPage, browser: Browser) {
    this.#served = served;
    this.browser = browser;
    this.url = served.url;
    this.folder = served.folder;
  }

  static async open(): Promise<Site> {
    return new Site(await ServedPage.serve(), await launchChromium());
  }

  /** A new visitor. What the page complains of is added to `complaints`. */
  async visit(complaints: string[] = [], options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.on('pageerror', ({ message }) => complaints.push(message));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    return page;
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.#served.close();
  }
}

/** What axe objects to in a page: the rule and the first place. */
export async function axeProblems(page: Page): Promise<string[]> {
  await page.evaluate(axe.source); // as the page's policy wants it: not as a script of its own
  const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>(
    'axe.run(document, { resultTypes: ["violations"] })',
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
}

/** What sticks out of a page, but for what is scrolled in its place. */
export const tooWide = (page: Page): Promise<string[]> =>
  page.evaluate(`[...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest('.wide, .strip'))
    .map((e) => e.outerHTML.slice(0, 90))`);
