/**
 * Says of a name whether it is one of those that a glob means: `*` is any text, dots and all; everything else is itself. In
 * time that is linear in both: globs come in files from others, and a regular expression of twenty stars would never end.
 */
export function globMatcher(glob: string): (name: string) => boolean {
  const [start, ...parts] = glob.split('*');
  const end = parts.pop();
  if (end === undefined) return (name) => name === glob;
  return (name) => {
    if (!name.startsWith(start)) return false;
    let at = start.length;
    for (const part of parts) {
      const found = name.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return name.length - end.length >= at && name.endsWith(end);
  };
}
