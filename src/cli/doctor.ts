import { arch, cpus, platform, release, totalmem } from 'node:os';
import { version } from '../base/version.ts';
import { adapterName } from '../gpu/capabilities.ts';
import type { Register } from './command.ts';
import { withOutputFlags } from './model.ts';

export const doctorCommand: Register = (program, run) => {
  withOutputFlags(program.command('doctor'))
    .description('Show what this machine can run on: the adapter found, its features and limits, and what to install.')
    .addHelpText('after', '\nExample:\n  headlight doctor --json > adapter.json')
    .action(
      run(async (context) => {
        const machine = {
          headlight: version,
          node: process.versions.node,
          os: `${platform()} ${release()} ${arch()}`,
          cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
          memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
        };
        context.printFacts(Object.entries(machine), 12);
        const gpu = await context.openGpu();
        const c = gpu.capabilities;
        const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
        const yes = (b: boolean) => (b ? 'yes' : 'no');
        const rows = {
          adapter: adapterName(c),
          vendor: `${c.vendor} ${c.architecture}`.trim(),
          kind: c.software ? 'software (right results; its speed says nothing about a GPU)' : 'GPU',
          subgroups: c.subgroups ? `yes, ${c.subgroupMinSize} to ${c.subgroupMaxSize}` : 'no',
          'shader-f16': yes(c.shaderF16),
          timestamps: yes(c.timestamps),
          buffers: `up to ${mib(c.maxBufferSize)}, ${mib(c.maxStorageBufferBindingSize)} a binding (larger weights are split by rows)`,
          workgroups: `${c.maxWorkgroupInvocations} invocations, ${c.maxWorkgroupStorage} bytes of memory`,
        };
        context.printFacts(Object.entries(rows), 12);
        const advice = c.software
          ? 'No GPU was found. For one, install its Vulkan driver (Linux: mesa-vulkan-drivers or the NVIDIA driver, and libvulkan1; Windows and macOS need nothing more).'
          : 'Nothing is missing.';
        context.print(`\n${advice}`);
        context.result({ machine, capabilities: c, advice });
        gpu.dispose();
      }),
    );
};
