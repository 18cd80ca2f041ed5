import type { Storage } from './tensor.ts';

/** One use of a temporary storage by the command at `index`; -1 is before the first command. */
export interface Use {
  readonly storage: Storage;
  readonly index: number;
}

export interface Lifetime {
  readonly storage: Storage;
  readonly first: number;
  last: number;
}

/** First and last use of each storage, ordered by first use. Pure: the plan of a run can be priced without running it. */
export function lifetimes(uses: Iterable<Use>): Lifetime[] {
  const byStorage = new Map<Storage, Lifetime>();
  for (const { storage, index } of uses) {
    const known = byStorage.get(storage);
    if (known) known.last = index;
    else byStorage.set(storage, { storage, first: index, last: index });
  }
  return [...byStorage.values()].sort((a, b) => a.first - b.first);
}

/**
 * Gives each storage a slot such that two which live at the same time never share one.
 * `take(size)` returns a slot, `give(slot)` takes it back; both are called in the order in which the run needs them.
 */
export function assignSlots<Slot>(
  plan: readonly Lifetime[],
  take: (size: number) => Slot,
  give: (slot: Slot) => void,
): Map<Storage, Slot> {
  const slots = new Map<Storage, Slot>();
  let live: Lifetime[] = [];
  for (const next of plan) {
    for (const old of live) if (old.last < next.first) give(slots.get(old.storage)!);
    live = live.filter((old) => old.last >= next.first);
    slots.set(next.storage, take(next.storage.size));
    live.push(next);
  }
  for (const old of live) give(slots.get(old.storage)!);
  return slots;
}
