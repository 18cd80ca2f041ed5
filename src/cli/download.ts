import type { Command } from 'commander';
import { printableLine } from '../base/printable.ts';
import { bytesOf, type Downloaded, download, showSize } from '../hub/download.ts';
import { isHubId } from '../hub/hub.ts';
import { showSnapshot } from '../hub/hub-files.ts';
import { defaultMinRate, defaultStallSeconds } from '../platform/stall.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import { number } from './model.ts';

interface Options {
  out?: string;
  revision: string;
  minRate: number;
  json?: boolean;
  debug?: boolean;
}

export const downloadCommand: Register = (program, run) => {
  program
    .command('download')
    .argument('<hub-id>', "a model's id, owner/name")
    .description(
      'Fetch a checkpoint from the Hugging Face hub: the files that Headlight reads, verified. Run again, it continues.',
    )
    .option('--out <dir>', 'the folder to put it in (default: in the cache folder, where --model finds it by its id)')
    .option('--revision <name>', 'the branch, tag or commit to fetch', 'main')
    .option(
      '--min-rate <bytes>',
      `the slowest connection to put up with, in bytes a second: one that brings less for ${defaultStallSeconds} s is given up and taken up again, and the fifth such ends the download`,
      number(0),
      defaultMinRate,
    )
    .option('--json', 'write a machine-readable result to stdout')
    .option('--debug', 'show the stack traces of errors')
    .addHelpText(
      'after',
      `
Environment:
  HF_ENDPOINT  another hub than https://huggingface.co, such as a mirror
  HF_TOKEN     for private and gated models; sent to the hub only, not to where it redirects
  HEADLIGHT_HOME  another cache folder than the system's (Linux: ~/.cache/headlight, or under XDG_CACHE_HOME)
  HF_HOME, HF_HUB_CACHE  where huggingface_hub keeps models; what is there is used, and not fetched again

Examples:
  headlight download llava-hf/llava-1.5-7b-hf
  headlight demo --model llava-hf/llava-1.5-7b-hf
  headlight download llava-hf/llava-1.5-7b-hf --revision refs/pr/3 --out ~/models/llava`,
    )
    .action((id: string, options: Options, command: Command) =>
      run<Options>(async (context) => {
        const { HF_ENDPOINT, HF_TOKEN } = process.env;
        const hub = { endpoint: HF_ENDPOINT || 'https://huggingface.co', token: HF_TOKEN?.trim() || undefined };
        if (!isHubId(id))
          throw new UsageError(`${id} is no model's id; give owner/name, such as llava-hf/llava-1.5-7b-hf`);
        noteProxy(context);
        try {
          reportDownload(context, await download(context, id, { ...options, ...hub }));
        } catch (e) {
          if (context.signal.aborted) throw new Error('interrupted; the same command continues where it stopped');
          throw e;
        }
      })(options, command),
    );
};

/** Says what is there now. */
export function reportDownload(context: Context, { snapshot, folder, files, fetched, model }: Downloaded): void {
  const { repo, revision, commit } = snapshot;
  const total = bytesOf(files);
  const isNew = new Set(fetched);
  context.print(
    `${showSnapshot(snapshot)}: ${files.length} files, ${showSize(total)}, verified; ${fetched.length === 0 ? 'all of it was there' : `${fetched.length} of them fetched now`}`,
  );
  context.print(`in ${printableLine(folder)}; use it with: --model ${model}`);
  context.result({
    repo,
    revision,
    commit,
    folder,
    bytes: total,
    files: files.map((file) => ({ ...file, fetched: isNew.has(file) })),
  });
}

/** Node's `fetch` does not look at the variables that name a proxy, or only when told to. */
function noteProxy(context: Context): void {
  const { env, execArgv, version } = process;
  const names = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];
  const set = names.find((name) => env[name]);
  const isUsed =
    env.NODE_USE_ENV_PROXY === '1' || [...execArgv, env.NODE_OPTIONS].join(' ').includes('--use-env-proxy');
  const [major, minor] = version.slice(1).split('.').map(Number);
  const canUse = major >= 24 || (major === 22 && minor >= 21);
  if (!set || (isUsed && canUse)) return;
  context.note(
    canUse
      ? `${set} is set, but Node uses a proxy only with NODE_USE_ENV_PROXY=1 (and HTTPS_PROXY or HTTP_PROXY); without it the connection is direct`
      : `${set} is set, but Node ${version} uses no proxy (22.21 and 24 do, with NODE_USE_ENV_PROXY=1); the connection is direct`,
  );
}
