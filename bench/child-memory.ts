// What the processes that this one has started hold, watched by one more of them, since looking takes its time.
import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);

/** Bytes that the processes below `root` hold, without this one and without mapped files; what they share counts in parts (Linux). */
function memoryBelow(root: number): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) && read(`/proc/${name}/stat`);
    if (stat) parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid) ?? 0;
    return parent === root || (parent !== 0 && isBelow(parent));
  };
  let sum = 0;
  for (const pid of [...parents.keys()].filter((pid) => pid !== process.pid && isBelow(pid)))
    for (const [, kB] of read(`/proc/${pid}/smaps_rollup`).matchAll(/^Pss_(?:Anon|Shmem):\s+(\d+)/gm))
      sum += 1024 * Number(kB);
  return sum;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended
  }
}

/** Runs `work`. @returns the most bytes that were held meanwhile. */
export async function peakOfChildren(work: () => Promise<unknown>): Promise<number> {
  const watcher = fork(self, [String(process.pid)]);
  await work();
  return new Promise<number>((done, fail) => {
    watcher.once('message', (bytes) => done(bytes as number)).once('error', fail);
    watcher.send('end');
  });
}

if (process.argv[1] === self) {
  let peak = memoryBelow(Number(process.argv[2]));
  const look = setInterval(() => {
    peak = Math.max(peak, memoryBelow(Number(process.argv[2])));
  }, 20);
  process.once('message', () => {
    clearInterval(look);
    process.send!(peak, () => process.disconnect());
  });
}
