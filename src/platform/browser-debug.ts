/** What a page has set as `globalThis.HEADLIGHT_DEBUG`: 0 nothing, 1 and 2 as src/gpu/debug.ts has them. */
export function debugLevel(): 0 | 1 | 2 {
  const said = Number((globalThis as { HEADLIGHT_DEBUG?: unknown }).HEADLIGHT_DEBUG ?? 0);
  if (said === 0) return 0;
  return said === 2 ? 2 : 1;
}
