import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { layoutDescriptions } from '../checkpoint/names.ts';
import { elementCount } from '../kernels/tensor.ts';
import { parseConfig } from '../model/families/index.ts';
import { requireJson } from '../model/json.ts';
import { KvCache } from '../model/kv-cache.ts';
import { openCheckpointFolder } from './checkpoint-folder.ts';
import type { Register } from './command.ts';
import { type ModelOptions, withCommonOptions } from './model.ts';

export const inspectCommand: Register = (program, run) => {
  withCommonOptions(program.command('inspect'))
    .description('What a checkpoint is: architecture, layers, heads, dtypes, sizes, memory needed. Reads headers only.')
    .addHelpText('after', '\nExample:\n  headlight inspect --model ~/models/llava-1.5-7b-hf')
    .action(
      run<ModelOptions>(async (context, { model }) => {
        const folder = await openCheckpointFolder(model);
        const config = parseConfig(await requireJson(folder, 'config.json'), `${folder.location}/config.json`);
        const checkpoint = await openCheckpoint(folder);
        const { text } = config;

        const parts: Record<string, { parameters: number; bytes: number }> = {};
        const dtypes: Record<string, number> = {};
        for (const { canonical, dtype, shape, start, end } of checkpoint.tensors.values()) {
          const part = canonical.split('.')[0];
          parts[part] ??= { parameters: 0, bytes: 0 };
          parts[part].parameters += elementCount(shape);
          parts[part].bytes += end - start;
          dtypes[dtype] = (dtypes[dtype] ?? 0) + elementCount(shape);
        }
        const parameters = Object.values(parts).reduce((sum, p) => sum + p.parameters, 0);
        const kvCache = KvCache.price(text, text.maxPositions);

        const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
        const rows: [string, string][] = [
          ['architecture', `${config.className} (${config.family})`],
          ['names', checkpoint.layout ? layoutDescriptions[checkpoint.layout] : 'canonical'],
          ['files', checkpoint.files.join(', ')],
          [
            'parameters',
            `${(parameters / 1e6).toFixed(2)} M, ${Object.entries(dtypes)
              .map(([d, n]) => `${d} ${((100 * n) / parameters).toFixed(0)} %`)
              .join(', ')}`,
          ],
          ...Object.entries(parts).map(([name, p]): [string, string] => [
            `  ${name}`,
            `${(p.parameters / 1e6).toFixed(2)} M, ${mib(p.bytes)}`,
          ]),
          [
            'decoder',
            `${text.modelType}, ${text.nLayers} layers, ${text.nHeads} heads of ${text.dHead} (${text.nKvHeads} key/value), width ${text.dModel}, vocabulary ${text.vocabSize}`,
          ],
          [
            'heads',
            `${text.nLayers * text.nHeads} candidates for SAVs; head vectors take ${text.nLayers * text.nHeads * text.dHead * 4} bytes an example`,
          ],
          [
            'memory',
            `${mib(checkpoint.bytes)} of weights; ${mib(kvCache)} of key/value cache at ${text.maxPositions} positions`,
          ],
        ];
        for (const [key, value] of rows) context.print(`${key.padEnd(24)}${value}`);
        context.result({
          config: { ...config, vision: config.vision?.config },
          layout: checkpoint.layout,
          files: checkpoint.files,
          parameters,
          parts,
          dtypes,
          bytes: checkpoint.bytes,
          kvCacheBytes: kvCache,
        });
      }),
    );
};
