import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { layoutDescriptions } from '../checkpoint/names.ts';
import { elementCount } from '../kernels/tensor.ts';
import type { TextTowerConfig } from '../model/config/text-tower.ts';
import type { ViTConfig } from '../model/config/vit.ts';
import type { DualEncoderConfig } from '../model/families/dual.ts';
import { isDual, parseConfig, parseDualConfig } from '../model/families/index.ts';
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
        const about = describe(await requireJson(folder, 'config.json'), `${folder.location}/config.json`);
        const checkpoint = await openCheckpoint(folder);

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
        const rows: [string, string][] = [
          ['architecture', about.architecture],
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
          ...about.rows,
          ['memory', [`${mib(checkpoint.bytes)} of weights`, ...about.memory].join('; ')],
        ];
        for (const [key, value] of rows) context.print(`${key.padEnd(24)}${value}`);
        context.result({
          config: about.config,
          layout: checkpoint.layout,
          files: checkpoint.files,
          parameters,
          parts,
          dtypes,
          bytes: checkpoint.bytes,
          kvCacheBytes: about.kvCacheBytes,
        });
      }),
    );
};

interface Description {
  readonly architecture: string;
  readonly rows: readonly [string, string][];
  /** What a run needs beside the weights. */
  readonly memory: readonly string[];
  /** For machines. */
  readonly config: unknown;
  readonly kvCacheBytes?: number;
}

function describe(json: unknown, file: string): Description {
  if (isDual(json)) return describeEncoder(parseDualConfig(json, file));
  const config = parseConfig(json, file);
  const { text } = config;
  const kvCacheBytes = KvCache.price(text, text.maxPositions);
  const nHeads = text.nLayers * text.nHeads;
  return {
    architecture: `${config.className} (${config.family})`,
    rows: [
      [
        'decoder',
        `${text.modelType}, ${text.nLayers} layers, ${text.nHeads} heads of ${text.dHead} (${text.nKvHeads} key/value), width ${text.dModel}, vocabulary ${text.vocabSize}`,
      ],
      ['heads', `${nHeads} candidates for SAVs; head vectors take ${nHeads * text.dHead * 4} bytes an example`],
    ],
    memory: [`${mib(kvCacheBytes)} of key/value cache at ${text.maxPositions} positions`],
    config: { ...config, vision: config.vision?.config },
    kvCacheBytes,
  };
}

function describeEncoder({ family, vision, text, embeddingSize }: DualEncoderConfig): Description {
  const tower = ({ nLayers, nHeads, dHead, dModel }: ViTConfig | TextTowerConfig) =>
    `${nLayers} layers, ${nHeads} heads of ${dHead}, width ${dModel}`;
  const { className, name, modelType } = family;
  return {
    architecture: `${className} (${name})`,
    rows: [
      ['image tower', `${tower(vision)}, ${vision.imageSize} pixels in patches of ${vision.patchSize}`],
      ['text tower', `${tower(text)}, vocabulary ${text.vocabSize}, up to ${text.maxPositions} tokens`],
      ['embeddings', `${embeddingSize} numbers; a baseline for SAVs: headlight eval --baseline-encoder`],
    ],
    memory: [],
    config: { className, family: name, modelType, vision, text, embeddingSize },
  };
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
