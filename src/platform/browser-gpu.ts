import { NoAdapterError } from './errors.ts';
import type { AdapterOptions } from './types.ts';

/**
 * The browser's adapter.
 * @throws NoAdapterError saying what to enable.
 */
export async function requestAdapter({ powerPreference, software }: AdapterOptions = {}): Promise<GPUAdapter> {
  if (!navigator.gpu)
    throw new NoAdapterError(
      'this browser has no WebGPU: use a current Chrome, Edge, Safari or Firefox, over https or localhost',
    );
  const adapter = await navigator.gpu.requestAdapter({ powerPreference, forceFallbackAdapter: software });
  if (!adapter)
    throw new NoAdapterError(
      'this browser has WebGPU but no adapter: see chrome://gpu (in Firefox about:support), and enable hardware acceleration. After crashes of its GPU process, restart the browser',
    );
  return adapter;
}

/** What `done` gives: a browser keeps no core busy while it waits (node-wait.ts). */
export const waitForGpu = <T>(done: Promise<T>): Promise<T> => done;
