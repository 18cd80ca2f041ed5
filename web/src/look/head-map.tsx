// All heads, layer by layer: colour is the score, an outline means chosen, a letter is the vote.
import type { Head } from 'headlight-vlm';
import type { Answered, Fitted } from '../worker/work.ts';

interface Shape {
  readonly nLayers: number;
  readonly nHeads: number;
}

export function HeadMap({
  shape: { nLayers, nHeads },
  fitted,
  answer,
  chosen,
  onChoose,
}: {
  shape: Shape;
  fitted: Fitted | undefined;
  answer: Answered | undefined;
  chosen: Head;
  onChoose: (head: Head) => void;
}) {
  const { correct, heads = [], labels = [], nExamples = 0 } = fitted ?? {};
  const [low, high] = correct ? [Math.min(...correct), Math.max(...correct)] : [0, 1];
  const votes = new Map(answer?.heads.map(({ layer, head, label }) => [`${layer}.${head}`, label]));
  const selected = new Set(heads.map(({ layer, head }) => `${layer}.${head}`));
  const letters = lettersOf(labels);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const layer = Math.min(nLayers - 1, Math.max(0, chosen.layer + step[0]));
    const head = Math.min(nHeads - 1, Math.max(0, chosen.head + step[1]));
    onChoose({ layer, head });
    (event.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-head="${layer}.${head}"]`)?.focus();
  };
  return (
    <>
      <p id="head-map-help" class="hint">
        Rows are layers, columns are heads. The stronger the colour, the better the head tells the classes apart
        {correct ? '' : ' (after a fit)'}; outlined heads vote, their letter is the class that they vote for.
      </p>
      <div class="wide">
        <table class="head-map" aria-label="Heads" aria-describedby="head-map-help" onKeyDown={move}>
          <tbody>
            {Array.from({ length: nLayers }, (_, layer) => (
              <tr key={layer}>
                <th scope="row">{layer}</th>
                {Array.from({ length: nHeads }, (_, head) => {
                  const name = `${layer}.${head}`;
                  const right = correct?.[layer * nHeads + head];
                  const vote = votes.get(name);
                  const isChosen = chosen.layer === layer && chosen.head === head;
                  const said = [
                    `head ${name}`,
                    right === undefined ? '' : `right about ${right} of ${nExamples}`,
                    selected.has(name) ? 'chosen by the fit' : '',
                    vote === undefined ? '' : `votes ${vote}`,
                  ];
                  return (
                    <td key={name}>
                      <button
                        type="button"
                        data-head={name}
                        data-selected={selected.has(name)}
                        aria-pressed={isChosen}
                        aria-label={said.filter(Boolean).join(', ')}
                        title={said.filter(Boolean).join(', ')}
                        tabIndex={isChosen ? 0 : -1}
                        style={{ '--score': right === undefined ? 0 : (right - low) / (high - low || 1) }}
                        onClick={() => onChoose({ layer, head })}
                      >
                        {vote === undefined ? '' : letters.get(vote)}
                      </button>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {labels.length > 0 && <p class="hint">{labels.map((label) => `${letters.get(label)} = ${label}`).join(', ')}</p>}
    </>
  );
}

/** The first letter of each label that no label before it has; else its number. */
function lettersOf(labels: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const [i, label] of labels.entries()) {
    const taken = new Set(found.values());
    const letter = [...label.toUpperCase()].find((each) => /[\p{L}\p{N}]/u.test(each) && !taken.has(each));
    found.set(label, letter ?? String(i + 1));
  }
  return found;
}
