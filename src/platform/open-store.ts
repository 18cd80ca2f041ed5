import type { CheckpointStore } from './checkpoint-store.ts';
import type { CheckpointStoreOptions } from './types.ts';

export type { CheckpointStore };

/**
 * Opens what a page keeps of checkpoints from one visit to the next: in the browser's private file system (OPFS), or in a directory that
 * the user has picked. Works in the page and in workers, where writing is faster. Where a browser keeps nothing (a private window),
 * the store is one that keeps nothing and says so.
 */
export async function openCheckpointStore(options: CheckpointStoreOptions = {}): Promise<CheckpointStore> {
  const { CheckpointStore } = await import('./checkpoint-store.ts');
  return CheckpointStore.open(options);
}
