import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { version } from '../../src/base/version.ts';

it('is package.json’s', () => expect(version).toBe(JSON.parse(readFileSync('package.json', 'utf8')).version));
