/** SHA-256 as lower-case hex, by the Web Crypto API (Node and any page that may use WebGPU have it). */
export async function sha256Hex(data: string | Uint8Array): Promise<string> {
  const digest = await sha256(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** SHA-256, 32 bytes. */
export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}
