/**
 * P(T > t) of Student's t with `freedom` degrees of freedom, a whole number from 1 (Abramowitz and Stegun 26.7.3 and 26.7.4).
 */
export function studentTail(t: number, freedom: number): number {
  if (t === Number.NEGATIVE_INFINITY) return 1;
  if (t === Number.POSITIVE_INFINITY) return 0;
  const angle = Math.atan(t / Math.sqrt(freedom));
  const cosine = Math.cos(angle);
  const odd = freedom % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k <= freedom - 2; k += 2) {
    term *= ((k - 1) / k) * cosine * cosine;
    sum += term;
  }
  const between = odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  // What lies between -t and t; the sum's rounding may pass 1 by the last bits.
  return Math.min(1, Math.max(0, (1 - between) / 2));
}
