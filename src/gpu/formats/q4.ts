import { groupFormat } from './groups.ts';

/**
 * Four bits a number: (q - 8) * scale, q from 0 to 15. The scale is the number that is farthest from 0, sign included, over -8: that number
 * takes the one place, -8, which has no counterpart, and so all 16 places are used. 4.5 bits a number with the scales.
 */
export const q4 = groupFormat({
  name: 'q4',
  bits: 4,
  zero: 8,
  most: 15,
  scale: (extreme) => extreme / -8,
  scaleWgsl: (extreme) => `${extreme} / -8.0`,
});
