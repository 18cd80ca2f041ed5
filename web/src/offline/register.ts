// Whether the page opens without a network, and whether a newer version of it waits.
/// <reference types="vite/types/importMeta.d.ts" />
import { signal } from '@preact/signals';

/** For people: whether the page opens without a network. */
export const offline = signal('The page is not kept yet: without a network it does not open.');
/** A newer version of the page, which waits until no tab has this one open. */
export const newVersion = signal<ServiceWorker | undefined>(undefined);

/** Has the page's files kept. Once the model is loaded: until then the network has better to do. */
export async function keepPage(): Promise<void> {
  if (!import.meta.env.PROD) return; // the development server's files change all the time
  try {
    const { serviceWorker } = navigator;
    if (!serviceWorker) throw new Error('it has no service workers here');
    // The page that a new version takes over is of the old one.
    if (serviceWorker.controller) serviceWorker.addEventListener('controllerchange', () => location.reload());
    const registration = await serviceWorker.register('./service-worker.js', { updateViaCache: 'none' });
    watch(registration, registration.installing);
    registration.addEventListener('updatefound', () => watch(registration, registration.installing));
    show(registration);
  } catch (error) {
    offline.value = `The browser does not keep the page (${(error as Error).message}): without a network it does not open.`;
  }
}

/** Puts the new version in the place of this one, in every tab. */
export const takeNewVersion = () => newVersion.value?.postMessage('take over');

function watch(registration: ServiceWorkerRegistration, worker: ServiceWorker | null): void {
  worker?.addEventListener('statechange', () => show(registration));
}

function show({ active, waiting }: ServiceWorkerRegistration): void {
  if (active) offline.value = 'The page and tiny-llava are kept: they open without a network.';
  newVersion.value = (active && waiting) ?? undefined;
}
