/** What the environment variable HEADLIGHT_DEBUG says: 0 nothing, 1 and 2 as src/gpu/debug.ts has them. */
export function debugLevel(): 0 | 1 | 2 {
  const said = process.env.HEADLIGHT_DEBUG ?? '';
  if (said === '' || said === '0') return 0;
  return said === '2' ? 2 : 1;
}
