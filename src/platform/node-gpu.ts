import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { extract } from 'tar-fs';
import { create, globals } from 'webgpu';
import { FileError, NoAdapterError } from './errors.ts';
import { cacheFolder } from './node-cache-folder.ts';
import type { AdapterOptions } from './types.ts';

Object.assign(globalThis, globals);

// Dawn hides shader-f16 on NVIDIA's Vulkan driver unless told otherwise,
const enabled = ['vulkan_enable_f16_on_nvidia'];
// and rounds timestamps to 65.5 microseconds, more than most kernels take (for browsers' sake; there is no other page here).
const disabled = ['timestamp_quantization'];
// SwiftShader zeroes workgroup memory with an instruction for each word of it: two thirds to nine tenths of what it takes to compile
// our kernels with 2 KiB and more. Dawn's own loop does the same.
const disabledForSwiftShader = ['use_vulkan_zero_initialize_workgroup_memory_extension'];

// The instance must outlive its devices: Dawn frees everything when it is collected.
const instances: GPU[] = [];
function instance({ experimental, swiftShader = false }: { experimental: boolean; swiftShader?: boolean }): GPU {
  const features = [...enabled, ...(experimental ? ['allow_unsafe_apis'] : [])];
  const without = [...disabled, ...(swiftShader ? disabledForSwiftShader : [])];
  const gpu = create([`enable-dawn-features=${features}`, `disable-dawn-features=${without}`]);
  instances.push(gpu);
  return gpu;
}

/**
 * A GPU where there is one, else whatever software adapter the system offers, else the SwiftShader that npm installed.
 * @throws NoAdapterError saying what to install.
 */
export async function requestAdapter(options: AdapterOptions = {}): Promise<GPUAdapter> {
  const { powerPreference, software = process.env.HEADLIGHT_SOFTWARE === '1', experimental = false } = options;
  // Without a Vulkan loader, and once the bundled one is in its place, Dawn would only complain on stderr.
  if (!software && !swiftShader && hasVulkanLoader()) {
    const adapter = await instance({ experimental }).requestAdapter({ powerPreference });
    if (adapter) return adapter;
  }
  const bundled = await bundledSwiftShader();
  const adapter = await withDriver(bundled.driver, () =>
    instance({ experimental, swiftShader: true }).requestAdapter({ forceFallbackAdapter: software }),
  );
  if (adapter) return adapter;
  throw new NoAdapterError(
    `no WebGPU adapter: ${bundled.problem ?? 'the SwiftShader that npm installed did not start'}. Install a Vulkan driver for your GPU, or run \`npm ci\` without --omit=optional for the software adapter; \`headlight doctor\` says more`,
  );
}

function hasVulkanLoader(): boolean {
  if (process.platform !== 'linux') return true; // Dawn uses D3D12 or Metal there
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1');
  } catch (e) {
    return !/cannot open shared object file/.test((e as Error).message);
  }
  return true;
}

interface Bundled {
  /** The driver's ICD file. */
  readonly driver?: string;
  /** What stands in the way. */
  readonly problem?: string;
}

let swiftShader: Promise<Bundled> | undefined;

/**
 * The SwiftShader in the npm package @sparticuz/chromium, with the Vulkan loader that comes with it.
 *
 * Dawn opens `libvulkan.so.1` by name. A library that is already loaded under that name is taken first, so loading ours
 * by path and keeping it (RTLD_NODELETE) does what LD_LIBRARY_PATH would, without starting a second process
 * (docs/adr/0001-software-adapter-in-process.md).
 */
function bundledSwiftShader(): Promise<Bundled> {
  swiftShader ??= loadSwiftShader();
  return swiftShader;
}

async function loadSwiftShader(): Promise<Bundled> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { problem: `there is no bundled software adapter for ${process.platform}-${process.arch}` };
  let archive: string;
  try {
    const main = createRequire(import.meta.url).resolve('@sparticuz/chromium');
    archive = join(packageRoot(main), 'bin', 'swiftshader.tar.br');
    if (!existsSync(archive)) return { problem: `${archive} is missing` };
  } catch {
    return { problem: 'the optional package @sparticuz/chromium is not installed' };
  }
  let folder: string;
  try {
    folder = await unpackOnce(archive);
  } catch (e) {
    return { problem: (e as Error).message };
  }
  const RTLD_NODELETE = 0x1000;
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  try {
    process.dlopen({ exports: {} }, join(folder, 'libvulkan.so.1'), RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  } catch (e) {
    // It is no Node addon, which Node says after having loaded it; anything else is a real failure.
    if (!/did not self-register/.test((e as Error).message))
      return { problem: `libvulkan.so.1 does not load: ${(e as Error).message}` };
  }
  return { driver: join(folder, 'vk_swiftshader_icd.json') };
}

/** Runs `find` with the Vulkan loader pointed at one driver; child processes must not inherit that. */
async function withDriver<T>(driver: string | undefined, find: () => Promise<T>): Promise<T> {
  if (!driver) return find();
  const names = ['VK_ICD_FILENAMES', 'VK_DRIVER_FILES'];
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = driver;
  try {
    return await find();
  } finally {
    for (const [i, name] of names.entries())
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
  }
}

function packageRoot(file: string): string {
  let folder = dirname(file);
  while (!existsSync(join(folder, 'bin')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/**
 * Unpacks into the user's cache folder, whole or not at all: written beside, then renamed. Where that cannot be written, into a
 * folder for this process alone: one that others know by name in a folder that all may write is no place for libraries.
 * @throws FileError naming both folders where neither can be written.
 */
async function unpackOnce(archive: string): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(dirname(archive), '..', 'package.json'), 'utf8'));
  let problem: string;
  try {
    const cache = cacheFolder();
    const folder = join(cache, `swiftshader-${version}`);
    if (existsSync(folder)) return folder;
    mkdirSync(cache, { recursive: true });
    const beside = mkdtempSync(`${folder}-`);
    try {
      await unpack(archive, beside);
      renameSync(beside, folder);
    } catch (e) {
      rmSync(beside, { recursive: true, force: true });
      if (!existsSync(folder)) throw e; // another process was first: its copy is as good
    }
    return folder;
  } catch (e) {
    problem = (e as Error).message;
  }
  try {
    const folder = mkdtempSync(join(tmpdir(), 'headlight-swiftshader-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
    await unpack(archive, folder);
    return folder;
  } catch (e) {
    throw new FileError(
      `the software adapter that npm installed finds no room to unpack, neither in the cache folder (${problem}) nor in the temporary one (${(e as Error).message}): set HEADLIGHT_HOME or TMPDIR to a folder that can be written`,
    );
  }
}

async function unpack(archive: string, into: string): Promise<void> {
  const wanted = ['libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json'];
  const tar = extract(into, { ignore: (_, header) => !wanted.includes(header?.name ?? ''), dmode: 0o700 });
  await pipeline(createReadStream(archive), createBrotliDecompress(), tar);
}
