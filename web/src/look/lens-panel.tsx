// The logit lens: what each layer would say next, were it the last.
import { percent } from '../parts/format.ts';
import { ScrollArea } from '../parts/scroll-area.tsx';
import { ask, asked, rowOf } from '../state/engine.ts';
import type { Picture } from '../state/project.ts';
import { useLatest } from './latest.ts';

export function LensPanel({ picture }: { picture: Picture }) {
  const question = asked.value;
  const { value, problem, waiting } = useLatest(`${picture.id} ${question}`, () =>
    ask('lens', { row: rowOf(picture), question }),
  ).value;
  return (
    <section aria-labelledby="lens" aria-busy={waiting}>
      <h2 id="lens">Logit lens</h2>
      <p class="hint" id="lens-help">
        What each layer would say next, were it the last: the likeliest words, and how likely they are.
      </p>
      {problem !== undefined && <p role="alert">{problem}</p>}
      <ScrollArea label="Words of each layer">
        <table class="lens" aria-label="Logit lens" aria-describedby="lens-help">
          <tbody>
            {value?.map(({ layer, top }) => (
              <tr key={layer}>
                <th scope="row">{layer}</th>
                {top.map(({ text, probability }, i) => (
                  <td key={i}>
                    <q>{text}</q> <span>{percent(probability)}</span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollArea>
    </section>
  );
}
