import type { ContentPart } from './chat-template.ts';

const marks = ['image', 'video'] as const;

/** A message's parts: pictures where the text marks them, those of a kind that it does not mark before everything. */
export function contentParts(prompt: string, images: number, videos: number): ContentPart[] {
  const given = { image: images, video: videos };
  const marked = marks.filter((kind) => given[kind] > 0 && prompt.includes(`<${kind}>`));
  const first = marks.filter((kind) => !marked.includes(kind));
  const pieces = marked.length
    ? prompt.split(new RegExp(`(${marked.map((kind) => `<${kind}>`).join('|')})`))
    : [prompt];
  return [
    ...first.flatMap((type) => Array.from({ length: given[type] }, (): ContentPart => ({ type }))),
    ...pieces
      .filter((piece) => piece !== '' || pieces.length === 1)
      .map((text): ContentPart => {
        const type = marked.find((kind) => text === `<${kind}>`);
        return type ? { type } : { type: 'text', text };
      }),
  ];
}
