// A place where files can be dropped, and what it looks like meanwhile.
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { type Given, givenItems } from '../state/drop.ts';

export function DropArea({
  onGiven,
  children,
  class: name = '',
}: {
  onGiven: (given: Given) => void;
  children: ComponentChildren;
  class?: string;
}) {
  const over = useSignal(false);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a drop needs a mouse; the buttons within do the same by keyboard
    <div
      class={`drop-area ${name}`}
      data-over={over.value}
      onDragOver={(event) => {
        event.preventDefault();
        event.stopPropagation();
        over.value = true;
      }}
      onDragLeave={() => {
        over.value = false;
      }}
      onDrop={(event) => {
        event.preventDefault();
        event.stopPropagation();
        over.value = false;
        if (event.dataTransfer) void givenItems(event.dataTransfer.items).then(onGiven);
      }}
      onPaste={(event) => {
        if (!event.clipboardData?.files.length) return;
        event.preventDefault();
        event.stopPropagation();
        void givenItems(event.clipboardData.items).then(onGiven);
      }}
    >
      {children}
    </div>
  );
}
