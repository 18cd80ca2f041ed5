import { signal } from '@preact/signals';

/** The tab that is shown. */
export const openTab = signal('classify');

/** The picture that is looked into, by its id. */
export const chosenPicture = signal<number | undefined>(undefined);
