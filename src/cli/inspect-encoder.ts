import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { layoutDescriptions } from '../checkpoint/names.ts';
import { elementCount } from '../gpu/tensor.ts';
import type { TextTowerConfig } from '../model/config/text-tower.ts';
import type { ViTConfig } from '../model/config/vit.ts';
import { dualHookPoints } from '../model/families/dual.ts';
import { parseDualConfig } from '../model/families/index.ts';
import type { Folder } from '../platform/types.ts';
import type { Context } from './context.ts';
import { hookShapes, printHooks } from './inspect-hooks.ts';

/** What a CLIP or SigLIP is. */
export async function inspectEncoder(
  context: Context,
  folder: Folder,
  json: unknown,
  options: { hooks?: true },
): Promise<void> {
  const parsed = parseDualConfig(json, `${folder.location}/config.json`);
  const { family, vision, text, embeddingSize } = parsed;
  const { tensors, files, bytes, layout } = await openCheckpoint(folder);
  const stored = [...tensors.values()];
  const parts: Record<string, number> = {};
  for (const { canonical, shape } of stored) {
    const [part] = canonical.split('.');
    parts[part] = (parts[part] ?? 0) + elementCount(shape);
  }
  const parameters = Object.values(parts).reduce((sum, n) => sum + n, 0);
  const dtypes = [...new Set(stored.map(({ dtype }) => dtype))];
  const tower = ({ nLayers, nHeads, dHead, dModel }: ViTConfig | TextTowerConfig) =>
    `${nLayers} layers, ${nHeads} heads of ${dHead}, width ${dModel}`;
  const rows: [string, string][] = [
    ['architecture', `${family.className} (${family.name})`],
    ['names', layout ? layoutDescriptions[layout] : 'canonical'],
    ['files', files.join(', ')],
    ['parameters', `${(parameters / 1e6).toFixed(2)} M in ${dtypes.join(', ')}, ${(bytes / 2 ** 20).toFixed(1)} MiB`],
    ...Object.entries(parts).map(([name, n]): [string, string] => [`  ${name}`, `${(n / 1e6).toFixed(2)} M`]),
    ['image tower', `${tower(vision)}, ${vision.imageSize} pixels in patches of ${vision.patchSize}`],
    ['text tower', `${tower(text)}, vocabulary ${text.vocabSize}, up to ${text.maxPositions} tokens`],
    ['embeddings', `${embeddingSize} numbers; a baseline for SAVs: headlight eval --baseline-encoder`],
  ];
  context.printFacts(rows);
  const one = { pos: text.maxPositions, keys: text.maxPositions, crops: 1, patches: 0, texts: 1 };
  const hooks = options.hooks && hookShapes(dualHookPoints(parsed), one);
  if (hooks) printHooks(context, hooks);
  const { className, name, modelType } = family;
  const config = { className, family: name, modelType, vision, text, embeddingSize };
  context.result({ config, layout, files, parameters, parts, dtypes, bytes, ...(hooks && { hooks }) });
}
