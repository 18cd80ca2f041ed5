// Runs scripts of package.json at once: npx tsx tools/at-once.ts SCRIPT...
// What the first says is shown as it comes, what another says once it has ended. Fails where one fails, when all have ended.
import { spawn } from 'node:child_process';

const run = (script: string, isShown: boolean) =>
  new Promise<number>((done, fail) => {
    const stdio = isShown ? 'inherit' : 'pipe';
    const child = spawn(`npm run --silent ${script}`, { shell: true, stdio: ['ignore', stdio, stdio] });
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => said.push(text));
    child.on('error', fail);
    child.on('close', (code) => {
      process.stdout.write(Buffer.concat(said));
      if (code !== 0) console.error(`npm run ${script}: failed`);
      done(code ?? 1);
    });
  });

const codes = await Promise.all(process.argv.slice(2).map((script, i) => run(script, i === 0)));
process.exitCode = Math.max(...codes);
