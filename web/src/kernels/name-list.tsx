// Names that take up room only where somebody asks for them.
import { plural } from '../parts/format.ts';

/** Nothing where there are none. */
export function NameList({ title, names, of }: { title: string; names: readonly string[]; of: string }) {
  if (!names.length) return null;
  return (
    <details>
      <summary>
        {title}: {plural(names.length, of)}
      </summary>
      <ul>
        {names.map((name) => (
          <li key={name}>{name}</li>
        ))}
      </ul>
    </details>
  );
}
