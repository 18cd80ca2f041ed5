// The page: what is open, what runs, and a tab for each thing that one can do.
import type { ComponentType } from 'preact';
import { ClassifyTab } from './classify/classify-tab.tsx';
import { LookTab } from './look/look-tab.tsx';
import { ModelTab } from './model/model-tab.tsx';
import { Banners } from './parts/banners.tsx';
import { JobBar } from './parts/job-bar.tsx';
import { lazy } from './parts/lazy.tsx';
import { model } from './state/engine.ts';
import { openTab } from './state/tabs.ts';

const tabs: readonly { readonly id: string; readonly title: string; readonly Panel: ComponentType }[] = [
  { id: 'classify', title: 'Classify', Panel: ClassifyTab },
  { id: 'look', title: 'Look inside', Panel: LookTab },
  { id: 'model', title: 'Model', Panel: ModelTab },
  {
    id: 'kernels',
    title: 'Kernels',
    Panel: lazy(async () => (await import('./kernels/kernels-tab.tsx')).KernelsTab),
  },
];

export function App() {
  return (
    <>
      <header class="top">
        <h1>
          <img src="./icon.svg" alt="" width="28" height="28" /> Headlight
        </h1>
        <TabList />
        <ModelLine />
      </header>
      <Banners />
      <main>
        {tabs.map(({ id, Panel }) => (
          <div key={id} role="tabpanel" id={`panel-${id}`} aria-labelledby={`tab-${id}`} hidden={openTab.value !== id}>
            {openTab.value === id && <Panel />}
          </div>
        ))}
      </main>
      <JobBar />
    </>
  );
}

function TabList() {
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex(({ id }) => id === openTab.value);
    openTab.value = tabs[(at + step + tabs.length) % tabs.length].id;
    document.getElementById(`tab-${openTab.value}`)?.focus();
    event.preventDefault();
  };
  return (
    <div role="tablist" aria-label="What to do" onKeyDown={move}>
      {tabs.map(({ id, title }) => (
        <button
          key={id}
          type="button"
          role="tab"
          id={`tab-${id}`}
          aria-controls={`panel-${id}`}
          aria-selected={openTab.value === id}
          tabIndex={openTab.value === id ? 0 : -1}
          onClick={() => {
            openTab.value = id;
          }}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

function ModelLine() {
  if (!model.value) return <p class="model-line">No model yet</p>;
  const { name, nLayers, nHeads, adapter, software } = model.value;
  return (
    <p class="model-line">
      <strong>{name}</strong> · {nLayers} layers of {nHeads} heads · {adapter}
      {software && (
        <span class="chip" title="Without a GPU the model runs on the processor, and far slower.">
          software adapter: slow
        </span>
      )}
    </p>
  );
}
