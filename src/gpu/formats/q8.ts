import { groupFormat } from './groups.ts';

/**
 * Eight bits a number: (q - 128) * scale, q from 1 to 255. The scale is the group's largest absolute value over 127. 8.5 bits a number
 * with the scales.
 */
export const q8 = groupFormat({
  name: 'q8',
  bits: 8,
  zero: 128,
  most: 255,
  scale: (extreme) => Math.abs(extreme) / 127,
  scaleWgsl: (extreme) => `abs(${extreme}) / 127.0`,
});
