import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import * as s from '../base/schema.ts';
import { DryGpu, guaranteed } from '../gpu/dry-gpu.ts';
import { type KernelOp, kernelOps } from '../kernels/custom/kernels.ts';
import { FileError } from '../platform/errors.ts';
import { problems } from '../verify/problems.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { readJsonFile } from './files.ts';
import { type CommonOptions, collect, withOutputFlags } from './model.ts';
import { documentation } from './package-info.ts';
import { table } from './table.ts';

interface Options extends CommonOptions {
  op?: string;
  gpu?: string[];
}

interface Source {
  readonly name: string;
  readonly code: string;
}

const defaultGpus = ['amd:navi31', 'nv:170:norobust'];

const figure = s.optional(s.number());
const hotLoop = s.object({
  instr: s.number(),
  fma: s.number(),
  gmem: s.number(),
  lds: s.number(),
  branch: s.number(),
  mov: s.number(),
  spill: s.number(),
  other: s.number(),
});
const rows = s.array(
  s.union(
    [
      s.object({ error: s.string(0, 10_000) }),
      s.object({
        label: s.string(0, 1000),
        summary: s.object({ regs: figure, spills: figure, scratch: figure, lds: figure, waves: figure, instr: figure }),
        hotLoop: s.optional(hotLoop),
      }),
    ],
    'expected an error, or label and summary',
  ),
);

export const isaCommand: Register = (program, run) => {
  withOutputFlags(program.command('isa'))
    .description(
      'Show what WGSL becomes on GPUs that are not there: registers, spills and the mix of the hot loop, by Mesa’s compilers. Nothing runs on a GPU.',
    )
    .argument('[kernels...]', 'whole WGSL files, such as dump-wgsl writes')
    .option('--op <name>', 'instead of files: our kernels of this operation, at the sizes that tests have')
    .option(
      '--gpu <name>',
      `a GPU to compile for: amd:navi31, amd:navi21, amd:renoir, nv:170:norobust, …; give it again for several (default: ${defaultGpus.join(', ')})`,
      collect,
    )
    .addHelpText(
      'after',
      `
Examples:
  headlight isa kernel.wgsl
  headlight isa --op matmul --gpu amd:navi31 --gpu amd:renoir

It needs a tool that is set up once, on Debian for amd64: bench/isa/setup.sh in Headlight's repository. HEADLIGHT_ISA names its
bench/isa/isa.sh. More: ${documentation('benchmarks.md')}`,
    )
    .action(async (files: string[], options: Options, command) =>
      run<Options>(async (context, { op, gpu: gpus = defaultGpus }) => {
        if (!!op === files.length > 0) throw new UsageError('give WGSL files, or --op with the name of an operation');
        const tool = process.env.HEADLIGHT_ISA;
        const sources = op ? sourcesOf(op) : await Promise.all(files.map(sourceIn));
        if (!tool)
          throw new UsageError(
            'HEADLIGHT_ISA is not set: set up the tool with bench/isa/setup.sh of the repository, and let HEADLIGHT_ISA name its bench/isa/isa.sh',
          );
        const found = [];
        for (const gpu of gpus) {
          context.signal.throwIfAborted();
          found.push(...(await compiled(tool, gpu, sources)).map((row) => ({ gpu, ...row })));
        }
        context.print(
          table(
            [
              'kernel',
              'registers',
              'spills',
              'scratch',
              'instructions',
              'loop',
              'fma',
              'memory',
              'workgroup',
              'branch',
              'move',
              'GPU',
            ],
            found.map(({ gpu, label, summary: s, hotLoop: l }) => [
              label,
              ...[s.regs, s.spills, s.scratch, s.instr, l?.instr, l?.fma, l?.gmem, l?.lds, l?.branch, l?.mov].map(
                (n) => `${n ?? '-'}`,
              ),
              gpu,
            ]),
          ),
        );
        context.result({ kernels: found });
      })(options, command),
    );
};

async function sourceIn(file: string): Promise<Source> {
  const code = await readFile(file, 'utf8').catch((e: NodeJS.ErrnoException) => {
    throw new UsageError(`${file}: ${e.code === 'ENOENT' ? 'no such file' : e.message}`);
  });
  return { name: basename(file, '.wgsl'), code };
}

/** Our kernels of an operation, as a GPU with subgroups of 32 runs them: each text once. */
function sourcesOf(op: string): Source[] {
  if (!(kernelOps as readonly string[]).includes(op))
    throw new UsageError(`--op ${op}: no operation of this name; there are ${kernelOps.join(', ')}`);
  const gpu = new DryGpu({ ...guaranteed, subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 32 });
  const byCode = new Map<string, string>();
  for (const problem of problems[op as KernelOp]()) {
    const rec = gpu.record(problem.name);
    problem.prepare((...tensor) => rec.input(...tensor))(rec);
    for (const { code, kernel } of rec.recorded) if (!byCode.has(code)) byCode.set(code, kernel);
  }
  return [...byCode].map(([code, kernel], i) => ({ name: `${kernel} #${i}`, code }));
}

/** @throws FileError with what the tool says, where it does not end well. */
async function compiled(tool: string, gpu: string, sources: readonly Source[]) {
  const folder = await mkdtemp(join(tmpdir(), 'headlight-isa-'));
  try {
    const kernels = join(folder, 'kernels.json');
    await writeFile(kernels, JSON.stringify(sources.map((source) => ({ ...source, entryPoint: 'main' }))));
    await promisify(execFile)(tool, ['--out', folder, gpu, kernels], { maxBuffer: 2 ** 26 }).catch(
      (e: Error & { stderr?: string }) => {
        throw new FileError(`${tool}: ${gpu}: ${(e.stderr || e.message).trim()}`, { cause: e });
      },
    );
    const stats = join(folder, gpu.replaceAll(':', '_'), 'stats.json');
    const { value, problems } = s.check(rows, await readJsonFile(stats));
    if (!value)
      throw new FileError(
        `${tool}: ${gpu}: its stats.json is not as this version reads it: ${s.describe(problems![0], 'all of it')}`,
      );
    return value.map((row) => {
      if ('error' in row) throw new FileError(`${tool}: ${gpu}: ${row.error}`);
      return row;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
