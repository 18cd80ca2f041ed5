// Which checkpoint is open: the embedded one, or the user's own, priced before it is loaded.
import { signal } from '@preact/signals';
import type { CheckpointPrice } from 'headlight-vlm';
import { ChooseFiles } from '../parts/choose-files.tsx';
import { bytes } from '../parts/format.ts';
import { ask, embedded, job, model, openModel, work } from '../state/engine.ts';
import type { ModelSource } from '../worker/work.ts';
import { sourceOf } from './source.ts';
import { Storage } from './storage.tsx';

/** What is written in the field. */
const address = signal('');
/** What was priced last. */
const priced = signal<{ readonly source: ModelSource; readonly price: CheckpointPrice } | undefined>(undefined);
const problem = signal<string | undefined>(undefined);

async function price(source: ModelSource): Promise<void> {
  priced.value = undefined;
  problem.value = undefined;
  const found = await work('reading what the checkpoint is', () => ask('price', source));
  if (found) priced.value = { source, price: found };
}

export function ModelTab() {
  return (
    <div class="columns">
      <section aria-labelledby="choose">
        <h2 id="choose">Open a checkpoint</h2>
        <p class="hint">
          A folder as it is on the Hugging Face hub: config.json, *.safetensors, tokenizer. LLaVA, LLaVA-NeXT,
          LLaVA-OneVision, Qwen2-VL and Qwen2.5-VL are supported.
        </p>
        <form
          class="row beside-field"
          onSubmit={(event) => {
            event.preventDefault();
            const source = sourceOf(address.value);
            if ('problem' in source) problem.value = source.problem;
            else void price(source);
          }}
        >
          <label class="field grow">
            Hub id or address
            <input
              type="text"
              placeholder="llava-hf/llava-1.5-7b-hf, or https://…"
              value={address.value}
              onInput={({ currentTarget }) => {
                address.value = currentTarget.value;
              }}
            />
          </label>
          <button type="submit" disabled={job.value !== undefined}>
            What does it take?
          </button>
        </form>
        <div class="row">
          <ChooseFiles
            label="Choose a folder"
            multiple
            folder
            onFiles={(files) => void price({ name: files[0].webkitRelativePath.split('/')[0], at: files })}
          />
          <button type="button" disabled={job.value !== undefined} onClick={() => void openModel(embedded)}>
            Open tiny-llava again
          </button>
        </div>
        {problem.value !== undefined && <p role="alert">{problem.value}</p>}
        {priced.value && <Prices {...priced.value} />}
      </section>
      <div>
        <OpenNow />
        <Storage />
      </div>
    </div>
  );
}

function OpenNow() {
  const now = model.value;
  return (
    <section aria-labelledby="open-now">
      <h2 id="open-now">Open now</h2>
      {now ? (
        <dl class="words">
          <dt>checkpoint</dt>
          <dd>{now.name}</dd>
          <dt>heads</dt>
          <dd>
            {now.nLayers} layers of {now.nHeads}, {now.dHead} numbers each
          </dd>
          <dt>adapter</dt>
          <dd>
            {now.adapter}
            {now.software && ': a software adapter, far slower than a GPU'}
          </dd>
        </dl>
      ) : (
        <p class="hint">none</p>
      )}
    </section>
  );
}

const formatNames = { stored: 'as stored', q8: '8 bits', q4: '4 bits' };

function Prices({ source, price }: { source: ModelSource; price: CheckpointPrice }) {
  const { className, parameters, fileBytes, nLayers, nHeads, promptTokens, formats } = price;
  return (
    <>
      <h3>{source.name}</h3>
      <p>
        {className}, {(parameters / 1e9).toFixed(parameters < 1e9 ? 3 : 1)} billion parameters, {nLayers} layers of{' '}
        {nHeads} heads{fileBytes === undefined ? '; its weights are not there' : `; ${bytes(fileBytes)} to read`}
      </p>
      <div class="wide">
        <table class="confusion">
          <caption>With a prompt of {promptTokens} tokens, its picture included</caption>
          <thead>
            <tr>
              <th scope="col">weights</th>
              <th scope="col">on the GPU</th>
              <th scope="col">this adapter</th>
              <th scope="col">open</th>
            </tr>
          </thead>
          <tbody>
            {formats.map(({ weights, gpuBytes, problems }) => {
              const name = formatNames[(weights ?? 'stored') as keyof typeof formatNames];
              return (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>{bytes(gpuBytes)}</td>
                  <td>{problems.length ? problems.join('; ') : 'can bind all of it'}</td>
                  <td>
                    <button
                      type="button"
                      aria-label={`Open ${source.name}, weights ${name}`}
                      disabled={problems.length > 0 || fileBytes === undefined || job.value !== undefined}
                      onClick={() => void openModel({ ...source, weights: weights as ModelSource['weights'] })}
                    >
                      Open
                    </button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p class="hint">WebGPU does not tell how much memory the GPU has: compare with what yours is sold with.</p>
    </>
  );
}
