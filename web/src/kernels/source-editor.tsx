// A field for source with line numbers; lines with errors are marked.
import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';

export function SourceEditor({
  label,
  input,
  value,
  marked,
  onInput,
}: {
  label: string;
  input: RefObject<HTMLTextAreaElement | null>;
  value: string;
  /** Lines, from 1 on. */
  marked: readonly number[];
  onInput: (text: string) => void;
}) {
  const numbers = useRef<HTMLOListElement>(null);
  const lines = value.split('\n').length;
  return (
    <div class="source-editor">
      <ol ref={numbers} aria-hidden="true">
        {Array.from({ length: lines }, (_, i) => (
          <li key={i} data-wrong={marked.includes(i + 1)}>
            {marked.includes(i + 1) ? '▸ ' : ''}
            {i + 1}
          </li>
        ))}
      </ol>
      <textarea
        ref={input}
        aria-label={label}
        rows={12}
        wrap="off"
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        value={value}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
        onScroll={({ currentTarget }) => {
          numbers.current!.scrollTop = currentTarget.scrollTop;
        }}
      />
    </div>
  );
}

/** Puts the cursor on a line, from 1 on, and selects it. */
export function focusLine(input: HTMLTextAreaElement, line: number): void {
  const before = input.value.split('\n').slice(0, line - 1);
  const start = before.reduce((sum, each) => sum + each.length + 1, 0);
  const end = input.value.indexOf('\n', start);
  input.focus();
  input.setSelectionRange(start, end < 0 ? input.value.length : end);
  const height = Number.parseFloat(getComputedStyle(input).lineHeight);
  input.scrollTop = (line - 4) * height;
}
