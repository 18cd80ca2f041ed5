import type { Folder, Visit } from './types.ts';

/** Reads that belong together, in one visit where the folder has them. @param signal ends what runs. */
export async function visiting<T>(
  folder: Folder,
  signal: AbortSignal | undefined,
  use: (folder: Folder) => Promise<T>,
): Promise<T> {
  const visit = folder.visit?.(signal);
  let isDone = false;
  try {
    const result = await use(visit ?? folder);
    isDone = true;
    return result;
  } finally {
    await visit?.close(isDone);
  }
}

/** One read, in a visit of its own: what is around it is not done by it. */
export async function inVisit<V extends Visit, T>(visit: V, use: (visit: V) => Promise<T>): Promise<T> {
  try {
    return await use(visit);
  } finally {
    await visit.close();
  }
}
