// Figures for people.

/** `91 %`; with a digit more where it is below 10 %. */
export const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** `1.3 GB`, `12 MB`. */
export const bytes = (n: number): string => {
  const [size, unit] = n >= 1e9 ? [n / 1e9, 'GB'] : [n / 1e6, 'MB'];
  return `${size.toFixed(size < 10 ? 1 : 0)} ${unit}`;
};
