// Which classifier the address of the page names, and of which model.
import { sourceOf } from '../model/source.ts';
import { ask, embedded, openModel, problem, readClassifier } from '../state/engine.ts';

/**
 * Opens `?classifier=…`, a file beside the page or elsewhere on its host, on `&model=…`, a hub id or an address; default:
 * tiny-llava. What is wrong is shown.
 */
export async function openEmbedded(classifier: string, model: string | null): Promise<void> {
  try {
    const url = new URL(classifier, document.baseURI);
    if (url.origin !== location.origin) throw new Error(`${url}: on another host; put the classifier beside this page`);
    const source = model === null ? embedded : sourceOf(model);
    if ('problem' in source) throw new Error(`model: ${source.problem}`);
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    await ask('keepNothing', undefined);
    if (await openModel(source)) await readClassifier(url.pathname.split('/').at(-1)!, bytes);
  } catch (error) {
    problem.value = (error as Error).message;
  }
}
