/**
 * A function that makes WGSL source, made to do so once for each list of arguments (plain values, and formats, which
 * their names tell apart): a forward pass asks for the same source in every layer, and one that was seen before is also found
 * faster by the pipeline cache.
 */
export function cachedText<Args extends unknown[]>(make: (...args: Args) => string): (...args: Args) => string {
  const texts = new Map<string, string>();
  return (...args) => {
    const key = JSON.stringify(args);
    let text = texts.get(key);
    if (text === undefined) {
      text = make(...args);
      texts.set(key, text);
    }
    return text;
  };
}
