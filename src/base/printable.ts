// Text from outside as it may be shown: labels, file names, questions, a model's own words, messages that quote a file. A
// terminal obeys control characters, bidirectional ones rearrange what stands beside them, and invisible ones make two names
// look alike.

/**
 * All of Cc except line ends and tabs; bidirectional controls; line and paragraph separators; soft hyphens; zero-width spaces
 * and joiners of words (not those that join emoji and letters), byte order marks, tag characters; non-characters; surrogates
 * without their other.
 */
const unsafe =
  /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}\u00ad\u200b\u2060-\u206f\ufeff\ufffe\uffff\u{e0000}-\u{e007f}]/gu;

/** As JSON writes it, a unit of UTF-16 each: what is escaped within JSON stays the same JSON. */
const escaped = (character: string) =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');

/** A text that is safe to show: `\u001b` for an escape character. Line ends and tabs stay. */
export const printable = (text: string): string =>
  text.replace(unsafe, (c) => (c === '\n' || c === '\t' ? c : escaped(c)));

/** The same on one line, for a name within a line or a table: `\n` for a line end, so that no name can forge a line. */
export const printableLine = (text: string): string => printable(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
