/** Bytes of one number, for each dtype that this reader knows; in the reference's order, which files are sorted by. */
export const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type SafetensorsDType = keyof typeof dtypeBytes;

/** Bytes of a tensor, or undefined above 2^53, up to which numbers are exact. */
export function byteLength(dtype: SafetensorsDType, shape: readonly number[]): number | undefined {
  let bytes: number = dtypeBytes[dtype];
  let isEmpty = false;
  // A dimension of 0 does not excuse absurd ones beside it.
  for (const d of shape) {
    if (d === 0) isEmpty = true;
    else bytes *= d;
    if (bytes > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return isEmpty ? 0 : bytes;
}
