// HTML in which every interpolated string is escaped: labels, questions and file names come from strangers.
import { escapeMarkup } from '../svg.ts';

/** Text that is HTML already. Only `html` and `trusted` make it. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Value = Markup | string | number | undefined | false | readonly Value[];

/** HTML from a template; strings among the values are escaped, `undefined` and `false` give nothing. */
export function html(parts: TemplateStringsArray, ...values: Value[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + render(values[i - 1]) + part));
}

/** Text of our own making that is HTML: style sheets, charts. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

function render(value: Value): string {
  if (value instanceof Markup) return value.text;
  if (value === undefined || value === false) return '';
  if (typeof value === 'object') return value.map(render).join('');
  return escapeMarkup(String(value));
}
