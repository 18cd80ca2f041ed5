import { fileURLToPath } from 'node:url';

// Two levels above both src/cli and dist/cli.
const root = new URL('../../', import.meta.url);

/** Where the embedded checkpoint lies. */
export const embeddedCheckpoint = fileURLToPath(new URL('weights/tiny-llava/', root));

/** Where a page of the documentation lies, for help texts: the package ships them. */
export const documentation = (page: string): string => fileURLToPath(new URL(`docs/${page}`, root));
