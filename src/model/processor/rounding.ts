// Python's ways of rounding, where JavaScript has others: sizes, counts and positions of HF's code follow from them.

/**
 * Python's `a // b` on floats: the floor of the true quotient. `Math.floor(a / b)` is the floor of a rounded one, which is a
 * whole number more where the true one lies just below it.
 */
export function floorDivide(a: number, b: number): number {
  const rest = a % b; // exact
  const steps = (a - rest) / b - (rest !== 0 && rest < 0 !== b < 0 ? 1 : 0);
  const whole = Math.floor(steps);
  return steps - whole > 0.5 ? whole + 1 : whole;
}

/** Python's `round(x)`: a half goes to the even neighbour. */
export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** Python's `round(x, 7)`, for the sizes of images: 29.999999999 becomes 30 before it is cut off. */
export const roundTo7 = (x: number): number => Number(x.toFixed(7));
