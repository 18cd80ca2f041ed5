// What the user has changed inside the model.
import { computed, signal } from '@preact/signals';
import type { Head } from 'headlight-vlm';
import { fitted } from '../state/engine.ts';
import type { Changes } from '../worker/work.ts';

export const unchanged: Changes = { scales: [], freezeNorms: false };

/** The sliders and switches, as they stand. */
const given = signal<Changes>(unchanged);

/** What holds for the classifier that there is: there is nothing to steer along between classes that are gone. */
export const changes = computed((): Changes => {
  const { steer, ...others } = given.value;
  const labels = fitted.value?.labels ?? [];
  return steer && labels.includes(steer.from) && labels.includes(steer.to) ? { ...others, steer } : others;
});

/** Whether anything is not as it was. Frozen norms alone change nothing. */
export const isChanged = computed(() => changes.value.scales.length > 0 || Boolean(changes.value.steer?.strength));

export const change = (changed: Partial<Changes>): void => {
  given.value = { ...given.value, ...changed };
};

export const reset = (): void => {
  given.value = unchanged;
};

export const scaleOf = ({ layer, head }: Head): number =>
  changes.value.scales.find((own) => own.layer === layer && own.head === head)?.scale ?? 1;

export const setScale = ({ layer, head }: Head, scale: number): void => {
  const others = given.value.scales.filter((own) => own.layer !== layer || own.head !== head);
  change({ scales: scale === 1 ? others : [...others, { layer, head, scale }] });
};

/** Cuts the heads that the classifier has chosen. */
export const cutChosen = (): void =>
  change({ scales: (fitted.value?.heads ?? []).map(({ layer, head }) => ({ layer, head, scale: 0 })) });
