// A tab whose code is fetched when it is first opened.
import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';

export function lazy(load: () => Promise<ComponentType>): ComponentType {
  const panel = signal<ComponentType | undefined>(undefined);
  const problem = signal<string | undefined>(undefined);
  return function Lazy() {
    useEffect(() => {
      load().then(
        (found) => {
          panel.value = found;
        },
        ({ message }: Error) => {
          problem.value = message;
        },
      );
    }, []);
    const Panel = panel.value;
    if (Panel) return <Panel />;
    if (problem.value === undefined) return <p class="hint">This tab is being fetched.</p>;
    return <p role="alert">This tab could not be fetched ({problem.value}). Reload the page.</p>;
  };
}
