// Firefox without a window, driven by its own protocol (Marionette): Playwright drives only a Firefox that it has changed.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A Firefox to test with. On Linux its WebGPU needs a Vulkan driver, without a GPU Mesa's lavapipe. */
export const firefoxPath = process.env.FIREFOX_PATH;

const preferences = {
  'dom.webgpu.enabled': true,
  'dom.webgpu.workers.enabled': true,
  'gfx.webgpu.ignore-blocklist': true, // software adapters are on it
  'app.normandy.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
};

type Answer = [kind: number, id: number, error: { message: string } | null, result: { value?: unknown }];

export class Firefox {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #id = 0;
  #received = Buffer.alloc(0);

  private constructor(process: ChildProcess, profile: string, socket: Socket) {
    this.#process = process;
    this.#profile = profile;
    this.#socket = socket;
    socket.on('data', (bytes) => this.#take(bytes));
  }

  static async open(): Promise<Firefox> {
    const profile = mkdtempSync(join(tmpdir(), 'headlight-firefox-'));
    const port = await freePort();
    const lines = Object.entries({ ...preferences, 'marionette.port': port }).map(
      ([name, value]) => `user_pref("${name}", ${value});\n`,
    );
    writeFileSync(join(profile, 'user.js'), lines.join(''));
    const args = ['--headless', '--marionette', '--no-remote', '--profile', profile];
    // Not the driver that Headlight itself has named for Node.
    const env = { ...process.env, HOME: profile, VK_ICD_FILENAMES: process.env.FIREFOX_VK_ICD_FILENAMES };
    const started = spawn(firefoxPath!, args, { env, stdio: 'ignore' });
    const firefox = new Firefox(started, profile, await connected(port, started));
    await firefox.#send('WebDriver:NewSession');
    await firefox.#send('WebDriver:SetTimeouts', { script: 300_000, pageLoad: 60_000 });
    return firefox;
  }

  async goto(url: string): Promise<void> {
    await this.#send('WebDriver:Navigate', { url });
  }

  /** What the body of an async function gives in the page, as JSON has it. @throws what it throws. */
  async evaluate<T>(body: string): Promise<T> {
    const script = `const done = arguments[0];
      (async () => {${body}})().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value } = await this.#send('WebDriver:ExecuteAsyncScript', { script, args: [] });
    const { value: found, error } = value as { value: T; error?: string };
    if (error !== undefined) throw new Error(`in Firefox: ${error}`);
    return found;
  }

  async close(): Promise<void> {
    const ended = new Promise((done) => this.#process.once('exit', done));
    this.#socket.destroy();
    this.#process.kill();
    await ended;
    rmSync(this.#profile, { recursive: true, force: true });
  }

  async #send(command: string, parameters: object = {}): Promise<{ value?: unknown }> {
    const id = ++this.#id;
    const answered = new Promise<Answer>((done) => this.#waiting.set(id, done));
    const message = JSON.stringify([0, id, command, parameters]);
    this.#socket.write(`${Buffer.byteLength(message)}:${message}`);
    const [, , error, result] = await answered;
    if (error) throw new Error(`${command}: ${error.message}`);
    return result;
  }

  /** Messages are JSON behind their length: `13:[1,4,null,{}]`. The first one greets. */
  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      const colon = this.#received.indexOf(':');
      if (colon < 0) return;
      const end = colon + 1 + Number(this.#received.subarray(0, colon));
      if (this.#received.length < end) return;
      const message = JSON.parse(this.#received.subarray(colon + 1, end).toString());
      this.#received = this.#received.subarray(end);
      if (Array.isArray(message)) this.#waiting.get(message[1])?.(message as Answer);
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** @throws where Firefox ends before it listens. */
async function connected(port: number, firefox: ChildProcess): Promise<Socket> {
  for (;;) {
    if (firefox.exitCode !== null) throw new Error(`${firefoxPath} ended with exit code ${firefox.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const isThere = await new Promise<boolean>((done) => {
      socket.once('connect', () => done(true));
      socket.once('error', () => done(false));
    });
    if (isThere) return socket;
    await new Promise((done) => setTimeout(done, 200));
  }
}
