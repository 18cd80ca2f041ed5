// The command line as its users meet it: its exit code, what it writes where.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeIntegers } from '../../src/checkpoint/decode.ts';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import { headlight, headlightProcess } from './headlight.ts';

const tasks = resolve('weights/tiny-llava/tasks');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const rowsOf = async (file: string) =>
  (await readFile(join(tasks, file), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const firstImage = async () => join(tasks, (await rowsOf('warm-cool.test.jsonl'))[0].image);

/** A few rows a label of a shipped task, its images copied beside it. */
async function subset(file: string, perLabel: number): Promise<string> {
  const taken = new Map<string, number>();
  const rows = (await rowsOf(file)).filter(({ label }) => {
    taken.set(label, (taken.get(label) ?? 0) + 1);
    return taken.get(label)! <= perLabel;
  });
  for (const { image } of rows) {
    await mkdir(join(folder, image, '..'), { recursive: true });
    await cp(join(tasks, image), join(folder, image));
  }
  const path = join(folder, file);
  await writeFile(path, rows.map((row) => JSON.stringify(row)).join('\n'));
  return path;
}

describe('usage', () => {
  it('says what an encoder is for where a model that generates is wanted, and the other way round', async () => {
    const clip = 'test/fixtures/families/clip-f32';
    const generate = await headlight('generate', '--prompt', 'x', '--model', clip);
    expect(generate.stderr).toMatch(/headlight: .*config\.json: CLIP embeds .*eval --baseline-encoder/);
    expect(generate.code).toBe(1);
    const rows = join(tasks, 'warm-cool.test.jsonl');
    const llava = 'test/fixtures/checkpoints/llava-f32';
    const evaluate = await headlight('eval', '--train', rows, '--test', rows, '--baseline-encoder', llava);
    expect(evaluate.stderr).toMatch(/headlight: .*"llava" is not an encoder of images and texts; supported: clip/);
    expect(evaluate.stderr).not.toContain('adapter:'); // before anything is loaded
    expect(evaluate.code).toBe(1);
  });

  it('shows help with examples for every command, and the version', async () => {
    const { stdout, code } = await headlight('--help');
    expect(code).toBe(0);
    const commands = [
      'demo',
      'fit',
      'classify',
      'eval',
      'generate',
      'capture',
      'inspect',
      'bench',
      'tune',
      'isa',
      'doctor',
      'download',
    ];
    for (const command of commands) {
      expect(stdout).toContain(`  ${command} `);
      const help = await headlight(command, '--help');
      expect(help.stdout, command).toMatch(/Examples?:\n {2}headlight/);
      expect(help.code, command).toBe(0);
    }
  });

  it.each([
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['generate'], /required option '--prompt <text>' not specified/],
    [['generate', '--prompt', 'x', '--max-new-tokens', '-3'], /Give a whole number of at least 1/],
    [['fit', '--train', 'x', '--out', 'y', '--heads', 'many'], /Give a number of heads, or auto/],
    [['eval', '--train', 'x', '--test', 'y', '--label-prompt', 'a cat'], /Write \{label\} where the label belongs/],
    [['classify', '--classifier', 'x'], /give either --data or a query/],
    [['classify', '--classifier', 'x', '--data', 'y', 'a.jpg'], /give either --data or a query/],
    [['classify', '--classifier', 'x', 'rows.csv'], /rows\.csv: holds rows, it is no picture: give it by --data/],
    [
      ['classify', '--classifier', 'x', '--csv', 'a.jpg', 'b.jpg'],
      /Name a \.csv file, or put --csv behind the pictures/,
    ],
    [['fit'], /give the labelled examples once/],
    [['fit', 'photos', '--train', 'x'], /give the labelled examples once/],
    [['classify', '--classifier', 'x', '--data', 'y', '--video', 'v'], /give either --data or a query/],
    [['inspect', '--image-size', '640'], /Give a width and a height in pixels, as in 640x480/],
    [
      ['inspect', '--model', 'test/fixtures/families/llama-text-f32', '--image-size', '64x64'],
      /--image-size: this model takes no images/,
    ],
    [['inspect', '--length', '513'], /--length 513: this model has 512 positions/],
    [['inspect', '--dtype', 'f32'], /--dtype: .* has weights, which say it themselves/],
  ])('exits with 2 for %j', async (args, message) => {
    const { code, stderr } = await headlight(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('reads a classifier before it looks for the model', async () => {
    const bad = join(folder, 'bad.safetensors');
    await writeFile(bad, 'damaged');
    for (const args of [
      ['classify', '--classifier', bad, '--image', await firstImage()],
      ['ablate', '--classifier', bad, '--data', join(tasks, 'warm-cool.test.jsonl')],
      ['fit', '--train', join(tasks, 'warm-cool.train.jsonl'), '--heads-from', bad, '--out', join(folder, 'never')],
    ]) {
      const { code, stderr, stdout } = await headlight(...args, '--model', '/nowhere');
      expect(stderr, args[0]).toBe(
        `headlight: ${bad}: is no whole safetensors file: damaged, or not a classifier made by 'fit'; fit the classifier again\n`,
      );
      expect([code, stdout]).toEqual([1, '']);
    }
  }, 60_000);

  it.each([
    [['generate', '--prompt', 'x', '--image', 'none.png'], /none\.png/],
    [['inspect', '--model', '/nowhere'], /\/nowhere/],
    [['generate', '--prompt', 'x', '--model', 'docs'], /config\.json/],
    [['generate', '--prompt', 'x', '--image', 'package.json'], /not a PNG, JPEG, WebP, GIF, BMP/],
    [['fit', '--train', 'none.jsonl', '--out', 'y'], /none\.jsonl/],
  ])('exits with 1 and one line for %j', async (args, message) => {
    const { code, stderr, stdout } = await headlight(...args);
    const lines = stderr
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('headlight: '));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at .*\.[jt]s:/); // Dawn's own warnings name C++ files
    expect(stdout).toBe('');
    expect(code).toBe(1);
  });
});

describe('commands on the embedded checkpoint', () => {
  it('inspect knows CLIP and SigLIP, all of whose tensors have a part', async () => {
    const { stdout } = await headlight('inspect', '--json', '--model', 'test/fixtures/families/siglip-f16');
    const { config, layout, parts, files } = JSON.parse(stdout);
    expect(config).toMatchObject({ className: 'SiglipModel', family: 'SigLIP', text: { maxPositions: 16 } });
    expect(layout).toBe('dual');
    expect(files).toHaveLength(2);
    const names = ['image_pooling', 'logit_bias', 'logit_scale', 'text_model', 'vision_tower'];
    expect(Object.keys(parts).sort()).toEqual(names);
    const words = await headlight('inspect', '--hooks', '--model', 'test/fixtures/families/clip-f32');
    expect(words.stdout).toMatch(/^hook {2}text\.blocks\.\{0\.\.1\}\.attn\.hook_z +\[1, \d+, 2, \d+\]$/m);
    expect(words.stdout).toMatch(/^architecture +CLIPModel \(CLIP\)$/m);
    expect(words.stdout).toMatch(/^image tower +2 layers, 2 heads of 8, width 16, 16 pixels in patches of 4$/m);
  });

  it('inspect tells what it is, in words and in JSON', async () => {
    const { stdout } = await headlight('inspect', '--json', '--image-size', '20x30', '--length', '100', '--hooks');
    expect(JSON.parse(stdout)).toMatchObject({
      hooks: expect.arrayContaining([
        { name: 'vision.hook_embed', shape: [1, 36, 128] },
        { name: 'blocks.5.attn.hook_pattern', shape: [8, 164, 164] },
      ]),
      config: { className: 'LlavaForConditionalGeneration', text: { nLayers: 6, nHeads: 8 } },
      layout: 'hub',
      dtypes: { f16: expect.any(Number) },
      images: [{ width: 20, height: 30, tokens: 36, shape: [1, 3, 48, 48] }],
      kvCache: { positions: 100, format: 'f16', bytes: 100 * 2 * 2 * 6 * 8 * 16 },
      prompts: [{ tokens: 36 + 128 }],
    });
    const { stdout: words } = await headlight('inspect', '--hooks');
    const { stdout: exact } = await headlight('inspect', '--length', '100', '--kv-cache', 'f32');
    expect(exact).toMatch(/^key\/value cache +600 KiB at 100 positions \(6 KiB each, f32\)$/m);
    const { stderr: refused, code: failed } = await headlight('inspect', '--kv-cache', 'q8');
    expect([failed, refused]).toEqual([2, expect.stringContaining('Allowed choices are f16, f32.')]);
    expect(words).toMatch(/^hook {2}blocks\.\{0\.\.5\}\.attn\.hook_z +\[\d+, 8, 16\]$/m);
    expect(words).toMatch(/^architecture +LlavaForConditionalGeneration \(LLaVA-1\.5\)$/m);
    expect(words).toMatch(/^ {2}not read +512 bytes: after the tower's last layer/m);
    expect(words).toMatch(/^adapter +.*a binding, .*a buffer\n {2}fits +every weight fits one binding$/m);
  });

  it('inspect prices a config.json that has no weights yet', async () => {
    const name = 'Qwen--Qwen2-VL-7B-Instruct.json';
    await mkdir(join(folder, 'qwen'), { recursive: true });
    await cp(join('test/fixtures/geometries', name), join(folder, 'qwen', 'config.json'));
    const size = ['--model', join(folder, 'qwen'), '--image-size', '640x480', '--image-size', '1920x1080'];
    const { stdout, code } = await headlight('inspect', ...size);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^weights +not there yet; priced at bf16, by config\.json$/m);
    expect(stdout).toMatch(/^parameters +8291\.38 M, 15\.4 GiB stored/m);
    expect(stdout).toMatch(/^image of 640x480 +391 tokens, shown as \[1564, 1176\]$/m);
    expect(stdout).toMatch(/^image of 1920x1080 +\d+ tokens/m);
    const { stdout: wide } = await headlight('inspect', ...size, '--dtype', 'f32', '--length', '1000', '--json');
    expect(JSON.parse(wide)).toMatchObject({
      parameters: 8291375616,
      bytes: 4 * 8291375616,
      gpuBytes: 4 * 8291375616,
      files: [],
      kvCache: { positions: 1000, format: 'f32', bytesPerPosition: 57344 * 2 },
    });
  });

  it('doctor tells what runs it', async () => {
    const { stdout } = await headlight('doctor', '--json');
    expect(JSON.parse(stdout).capabilities.maxBufferSize).toBeGreaterThan(0);
  });

  it('generate answers, streamed or as JSON', async () => {
    const { stdout, code } = await headlight(
      'generate',
      '--image',
      await firstImage(),
      '--prompt',
      'What is in the image?',
      '--json',
    );
    expect(code).toBe(0);
    const { text, tokens } = JSON.parse(stdout);
    expect(tokens.length).toBeGreaterThan(2);
    expect(text).toMatch(/^\s*a /);
  });

  it('capture writes activations and ids that a safetensors reader opens', async () => {
    const out = join(folder, 'z.safetensors');
    const names = 'blocks.*.attn.hook_z,logits,pixel_values';
    const { code } = await headlight(
      'capture',
      '--image',
      await firstImage(),
      '--prompt',
      'What is it?',
      '--names',
      names,
      '--pos',
      'last',
      '--out',
      out,
    );
    expect(code).toBe(0);
    const { tensors } = parseSafetensors(out, new Uint8Array(await readFile(out)));
    expect(tensors.get('blocks.5.attn.hook_z')).toMatchObject({ dtype: 'F32', shape: [1, 8, 16] });
    expect(tensors.get('pixel_values')).toMatchObject({ shape: [1, 3, 48, 48] });
    expect(tensors.get('input_ids')).toMatchObject({ dtype: 'I32' });
    expect(tensors.size).toBe(9);
  });

  it('capture and generate take edits from a file, and say what is wrong with one', async () => {
    const [edits, out, image] = [join(folder, 'edits.json'), join(folder, 'cut.safetensors'), await firstImage()];
    await writeFile(edits, '[{"at": "blocks.2.attn.hook_z", "heads": [3], "set": 0}]');
    const prompt = ['--image', image, '--prompt', 'What is it?', '--edits', edits];
    const captured = await headlight(
      'capture',
      ...prompt,
      '--names',
      'blocks.2.attn.hook_z',
      '--pos',
      'last',
      '--out',
      out,
    );
    expect(captured.code, captured.stderr).toBe(0);
    const bytes = new Uint8Array(await readFile(out));
    const z = new Float32Array(
      tensorBytes(out, parseSafetensors(out, bytes), bytes, 'blocks.2.attn.hook_z').slice().buffer,
    );
    const heads = Array.from({ length: 8 }, (_, h) => z.slice(16 * h, 16 * h + 16).every((v) => v === 0));
    expect(heads).toEqual([false, false, false, true, false, false, false, false]);

    const wrong = async (json: string) => {
      await writeFile(edits, json);
      return headlight('generate', ...prompt);
    };
    const said = (code: number, words: RegExp) => ({ code, stderr: expect.stringMatching(words) });
    expect(await wrong('[{')).toMatchObject(said(2, /edits\.json: not JSON/));
    expect(await wrong('[{"at": "logits", "scales": 2}]')).toMatchObject(said(2, /edits\.json: 0: .*scales/));
    expect(await wrong('[{"at": "blocks.99.attn.hook_z", "set": 0}]')).toMatchObject(
      said(1, /blocks\.99\.attn\.hook_z/),
    );
  });

  it('fit names the row whose picture or prompt is wrong', async () => {
    const rows = join(folder, 'rows.jsonl');
    const row = (image: string, question: string, label: string) => JSON.stringify({ image, question, label });
    await writeFile(join(folder, 'no-image.png'), 'no image');
    await cp(await firstImage(), join(folder, 'scene.png'));
    const fitRows = async (...lines: string[]) => {
      await writeFile(rows, lines.join('\n'));
      return headlight('fit', '--train', rows, '--out', join(folder, 'never.safetensors'));
    };
    const good = row('scene.png', 'What is it?', 'x');
    expect(await fitRows(good, row('no-image.png', 'What?', 'y'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/rows\.jsonl:2: no-image\.png: not a PNG/),
    });
    expect(await fitRows(good, row('scene.png', 'Is <image> like <image>?', 'y'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/rows\.jsonl:2: the prompt has 2 <image>/),
    });
  });

  it('--share-prefix: the same heads from many questions about each picture, kept apart in a cache', async () => {
    const pictures = (await rowsOf('warm-cool.test.jsonl')).slice(0, 2);
    const rows = pictures.flatMap(({ image }) =>
      ['color', 'shape', 'first color', 'first shape'].map((what) => ({
        image: join(tasks, image),
        question: `What ${what} does it have?`,
        label: what.split(' ').at(-1),
      })),
    );
    const [data, cache] = [join(folder, 'questions.jsonl'), join(folder, 'shared-cache')];
    await writeFile(data, rows.map((row) => JSON.stringify(row)).join('\n'));
    const common = ['--allow-folder', tasks, '--cache', cache, '--json'];
    const out = join(folder, 'questions.safetensors');
    const fitted = async (...more: string[]) => {
      const { code, stdout, stderr } = await headlight(
        'fit',
        '--train',
        data,
        '--heads',
        '5',
        '--out',
        out,
        ...common,
        ...more,
      );
      expect(code, stderr).toBe(0);
      const { heads } = JSON.parse(stdout) as { heads: { layer: number; head: number }[] };
      return [
        heads.map(({ layer, head }) => `${layer}.${head}`).sort(),
        (await readdir(cache, { recursive: true })).length,
      ];
    };
    const [whole, kept] = await fitted();
    const [shared, both] = await fitted('--share-prefix');
    expect(shared).toEqual(whole);
    expect(both).toBeGreaterThanOrEqual((kept as number) + rows.length);
    expect(await fitted('--share-prefix')).toEqual([shared, both]);
    const classify = await headlight('classify', '--classifier', out, '--data', data, ...common, '--share-prefix');
    expect(classify.code, classify.stderr).toBe(0);
    expect(classify.stdout.trim().split('\n')).toHaveLength(rows.length);
  });

  it('fit, classify and eval: from rows to labels, with a cache that saves forwards', async () => {
    const [train, test] = [await subset('warm-cool.train.jsonl', 6), await subset('warm-cool.test.jsonl', 3)];
    const [out, cache] = [join(folder, 'warm.safetensors'), join(folder, 'cache')];
    const fit = await headlight('fit', '--train', train, '--heads', '5', '--cache', cache, '--out', out, '--json');
    expect(fit.code, fit.stderr).toBe(0);
    const fitted = JSON.parse(fit.stdout);
    expect(fitted).toMatchObject({ labels: ['warm', 'cool'], counts: [6, 6] });
    expect(fitted.heads).toHaveLength(5);

    // In a process of its own, which knows what the files say and nothing else.
    const classify = await headlightProcess(
      'classify',
      '--classifier',
      out,
      '--data',
      test,
      '--cache',
      cache,
      '--json',
      '--votes',
    );
    expect(classify.code, classify.stderr).toBe(0);
    const lines = classify.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(6);
    for (const line of lines) {
      expect(['warm', 'cool']).toContain(line.label);
      expect(line.votes.warm + line.votes.cool).toBe(5);
    }

    // Prompts of other lengths run apart; lines come in the order of the rows.
    const rows = (await readFile(test, 'utf8'))
      .trim()
      .split('\n')
      .map((line, i) => {
        const { image } = JSON.parse(line);
        return JSON.stringify({ image, question: `Which${' colors'.repeat(1 + (i % 2))} are warm?` });
      });
    const mixed = join(folder, 'mixed.jsonl');
    await writeFile(mixed, rows.join('\n'));
    const found = await headlight('classify', '--classifier', out, '--data', mixed, '--csv');
    expect(found.code, found.stderr).toBe(0);
    const named = found.stdout.trim().split('\n').slice(1);
    expect(named.map((line) => line.split(',')[0])).toEqual(rows.map((row) => JSON.parse(row).image));

    const transfer = join(folder, 'transfer.safetensors');
    const moved = await headlight(
      'fit',
      '--train',
      test,
      '--heads-from',
      out,
      '--cache',
      cache,
      '--out',
      transfer,
      '--json',
    );
    expect(moved.code, moved.stderr).toBe(0);
    const places = (heads: { layer: number; head: number }[]) => heads.map(({ layer, head }) => [layer, head]);
    expect(places(JSON.parse(moved.stdout).heads)).toEqual(places(fitted.heads));

    const evaluated = await headlight(
      'eval',
      '--train',
      train,
      '--test',
      test,
      '--heads',
      '5',
      '--method',
      'sav,parity,linear-probe',
      '--cache',
      cache,
      '--json',
    );
    expect(evaluated.code, evaluated.stderr).toBe(0);
    const { methods, sav } = JSON.parse(evaluated.stdout);
    expect(methods.map((m: { method: string }) => m.method)).toEqual(['sav', 'parity', 'linear-probe']);
    expect(sav.n).toBe(6);
    expect(sav.confusion.flat().reduce((a: number, b: number) => a + b)).toBe(6);
  });

  it('gives no label to a grey square or below a confidence, and eval says how often', async () => {
    const train = join(tasks, 'warm-cool.train.jsonl'); // fewer have no room between them to refuse a grey square
    const [out, grey, cache] = ['refusing.safetensors', 'grey.png', 'cache'].map((name) => join(folder, name));
    await writeFile(
      grey,
      await sharp({ create: { width: 84, height: 84, channels: 3, background: '#808080' } })
        .png()
        .toBuffer(),
    );
    const fit = await headlight('fit', '--train', train, '--cache', cache, '--out', out, '--none-of-these');
    expect(fit.code, fit.stderr).toBe(0);
    const classify = async (...options: string[]) => {
      const { code, stdout, stderr } = await headlight('classify', '--classifier', out, ...options);
      expect(code, stderr).toBe(0);
      return stdout.trim().split('\n');
    };
    const own = join(tasks, 'images/warm-cool/test-001.png');
    const lines = await classify('--image', own, '--image', grey);
    expect(lines[0]).toMatch(/\tcool\t0\.\d{4}$/);
    expect(lines[1]).toMatch(/grey\.png\tnone of these \(nearest: (warm|cool)\)\t0\.\d{4}$/);
    expect(JSON.parse((await classify('--image', grey, '--json')).join(''))).toMatchObject({
      label: null,
      refused: 'none of these',
      winner: expect.stringMatching(/warm|cool/),
    });
    expect(await classify('--image', grey, '--csv')).toEqual([
      'path,label,confidence',
      expect.stringMatching(/^[^,]*grey\.png,,0\.\d+$/),
    ]);
    expect((await classify('--image', grey, '--none-of-these', '0'))[0]).toMatch(/\t(warm|cool)\t/);
    expect((await classify('--image', own, '--abstain', '0.99'))[0]).toMatch(/\tunsure \(nearest: cool\)\t/);

    const evaluated = await headlight(
      'eval',
      '--train',
      train,
      '--test',
      await subset('warm-cool.test.jsonl', 3),
      '--cache',
      cache,
      '--none-of-these',
      '0.2',
      '--method',
      'sav',
      '--json',
    );
    expect(evaluated.code, evaluated.stderr).toBe(0);
    expect(JSON.parse(evaluated.stdout).selection).toMatchObject({ known: 6, outsiders: 0 });
    const wrong = await headlight('classify', '--classifier', out, '--image', own, '--abstain', '2');
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('--abstain') });
  });

  it('examples of help hold line ends that a shell makes', async () => {
    const { stdout } = await headlight('generate', '--help');
    expect(stdout).toContain("--raw-prompt --prompt $'USER: <image>\\nWhat is this? ASSISTANT:'");
  });

  it('eval and similarity go on with one example a label, as fit does', async () => {
    const rows = (await readFile(join(tasks, 'warm-cool.train.jsonl'), 'utf8')).trim().split('\n');
    const first = ['warm', 'cool'].map((label) => rows.find((row) => JSON.parse(row).label === label)!);
    const one = join(folder, 'one-each.jsonl');
    await writeFile(one, first.join('\n'));
    const images = ['--image-folder', tasks];
    const evaluated = await headlight('eval', '--train', one, '--test', one, ...images, '--method', 'sav');
    expect(evaluated.code, evaluated.stderr).toBe(0);
    expect(evaluated.stderr).toContain('no label has two examples that differ: none can be left out');
    const alike = await headlight('similarity', '--data', one, '--data', one, ...images);
    expect(alike.code, alike.stderr).toBe(0);
  }, 120_000);

  it('eval shows CLIP and SigLIP beside the other baselines', async () => {
    const [train, test] = [await subset('warm-cool.train.jsonl', 6), await subset('warm-cool.test.jsonl', 3)];
    const report = join(folder, 'encoders.html');
    const encoders = ['clip-f32', 'siglip-f16'].map((name) => `test/fixtures/families/${name}`);
    const { code, stdout, stderr } = await headlight(
      'eval',
      ...['--train', train, '--test', test, '--heads', '5', '--method', 'sav,nearest-centroid', '--report', report],
      ...encoders.flatMap((folder) => ['--baseline-encoder', folder]),
      ...['--label-prompt', 'colours that are {label}', '--json', '--cache', join(folder, 'cache')],
    );
    expect(code, stderr).toBe(0);
    const result = JSON.parse(stdout);
    const shown = result.methods.map(({ method, encoder = '' }: Record<string, string>) =>
      `${method} ${encoder}`.trim(),
    );
    expect(shown).toEqual([
      'sav',
      'nearest-centroid',
      'encoder-zero-shot clip-f32',
      'encoder-centroid clip-f32',
      'encoder-zero-shot siglip-f16',
      'encoder-centroid siglip-f16',
    ]);
    expect(result.encoders).toHaveLength(2);
    for (const [i, encoder] of result.encoders.entries()) {
      expect(encoder).toMatchObject({ features: 'image', labelPrompt: 'colours that are {label}' });
      expect(encoder.nearestCentroid).toMatchObject({ n: 6, accuracy: result.methods[3 + 2 * i].accuracy });
    }
    expect(await readFile(report, 'utf8')).toContain('siglip-f16, nearest centroid of image');
  });

  it('fits and labels texts, by a model that knows nothing else', async () => {
    const rows = ['red', 'blue'].flatMap((label) =>
      ['apple', 'jay', 'sky', 'car'].map((thing) => ({ question: `a ${label} ${thing}`, label })),
    );
    const train = join(folder, 'texts.jsonl');
    await writeFile(train, rows.map((row) => JSON.stringify(row)).join('\n'));
    const [out, model] = [join(folder, 'texts.safetensors'), ['--model', 'test/fixtures/families/llama-text-f32']];
    const fit = await headlight('fit', ...model, '--train', train, '--heads', '3', '--out', out, '--json');
    expect(fit.code, fit.stderr).toBe(0);
    expect(JSON.parse(fit.stdout)).toMatchObject({ labels: ['red', 'blue'], counts: [4, 4] });
    const query = ['--classifier', out, '--question', 'a red jay', '--json', '--votes'];
    const classify = await headlight('classify', ...model, ...query);
    expect(classify.code, classify.stderr).toBe(0);
    const { votes, source } = JSON.parse(classify.stdout);
    expect(votes.red + votes.blue).toBe(3);
    expect(source).toBe('a red jay');
    const frames = join(folder, 'one-frame');
    await mkdir(frames);
    await cp('test/fixtures/images/frame-0.png', join(frames, 'frame-0.png'));
    const shown = await headlight('classify', ...model, ...query, '--video', frames);
    expect(shown.stderr).toMatch(/^headlight: .*LlamaForCausalLM takes text only, but a video was given$/m);
  });

  it('takes images amid text, and folders of frames, and says which picture is none', async () => {
    const picture = (name: string) => `test/fixtures/images/${name}`;
    const frames = join(folder, 'frames');
    await mkdir(frames, { recursive: true });
    for (const i of [0, 1, 2]) await cp(picture(`frame-${i}.png`), join(frames, `frame-${i}.png`));
    const out = join(folder, 'mixed.safetensors');
    const ids = async (prompt: string) => {
      const pictures = ['--image', picture('wide.png'), '--image', picture('scene.png'), '--video', frames];
      const names = ['--names', 'pixel_values', '--out', out];
      const model = ['--model', 'test/fixtures/families/qwen2_5-vl-f32'];
      const { code, stderr } = await headlight('capture', ...model, ...pictures, '--prompt', prompt, ...names);
      expect(code, stderr).toBe(0);
      const bytes = new Uint8Array(await readFile(out));
      const header = parseSafetensors(out, bytes);
      return [...decodeIntegers(header.tensors.get('input_ids')!, tensorBytes(out, header, bytes, 'input_ids'))];
    };
    // an image is token 412, a frame of a video 413
    const runs = (found: number[]) => found.filter((id, i) => id >= 412 && id !== found[i - 1]);
    expect(runs(await ids('a <video> b <image> c <image>'))).toEqual([413, 412, 412]);
    expect(runs(await ids('a <image> b <image> c'))).toEqual([413, 412, 412]); // a kind without marks comes first
    expect(runs(await ids('a <image> b <video> c <image>'))).toEqual([412, 413, 412]);
    const model = ['--model', 'test/fixtures/families/onevision-f32'];
    const none = await headlight('generate', ...model, '--prompt', 'x', '--video', 'package.json');
    expect(none.stderr).toMatch(/^headlight: package\.json: ff(probe fails: Invalid|probe is not on the PATH)/m);
    await cp(picture('tall.png'), join(frames, 'frame-3.png'));
    const sizes = await headlight('generate', ...model, '--prompt', 'x', '--video', frames);
    expect(sizes.stderr).toMatch(/^headlight: the frames of a video must have one size: .*; resize them to one$/m);
  });

  it('refuses a classifier of another model', async () => {
    const out = join(folder, 'warm.safetensors');
    const { code, stderr } = await headlight(
      'classify',
      '--classifier',
      out,
      '--model',
      'test/fixtures/checkpoints/llava-f32',
      '--image',
      await firstImage(),
    );
    expect(stderr).toMatch(/headlight: .*warm\.safetensors.*model/);
    expect(code).toBe(1);
  });

  it('demo runs a task and writes a report that needs nothing else', async () => {
    const out = join(folder, 'report.html');
    const { code, stdout, stderr } = await headlight('demo', '--tasks', 'easy-vqa-vivid', '--out', out);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^task +SAV +as published/);
    expect(stdout).toMatch(/easy-vqa-vivid +\d/);
    const html = await readFile(out, 'utf8');
    expect(html).toContain('<svg');
    expect(html).toContain('data:image/png;base64,');
    expect(html).not.toMatch(/<script|src="http|href="http/);
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});

describe('kernels of the user’s own', () => {
  const wgsl =
    '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {\n  if (id.x < params.count) { out[id.x] = a[id.x] + b[id.x]; }\n}\n';

  it('are checked and timed beside ours', async () => {
    const file = join(folder, 'mine.wgsl');
    await writeFile(file, wgsl);
    const bench = ['bench', '--op', 'add', '--rounds', '1', '--json', '--kernel'];
    const { code, stdout, stderr } = await headlight(...bench, file, '--filter', '[60,128]');
    expect(stderr).toMatch(/checked against float64 on 5 problems: all pass/);
    expect(code).toBe(0);
    const { check, rows } = JSON.parse(stdout);
    expect(check.passed).toBe(true);
    expect(rows.map((r: { candidate: string }) => r.candidate)).toEqual(['default', 'mine.wgsl']);

    await writeFile(file, wgsl.replace('+', '-'));
    const wrong = await headlight(...bench, file);
    expect(wrong.stderr).toMatch(
      /5 wrong\n {2}add kernel mine\.wgsl, \[1,1\]: NMSE[\s\S]*headlight: a wrong kernel is not timed/,
    );
    expect(wrong.code).toBe(1);

    await writeFile(file, wgsl.replace('b[id.x]', 'c[id.x]'));
    const broken = await headlight(...bench, file);
    expect(broken.stderr).toMatch(/headlight: add kernel mine\.wgsl:2:\d+: unresolved value 'c' in/);
    expect(broken.code).toBe(1);
  });

  it('run in capture and generate, and are refused where they have no place', async () => {
    const prompt = ['--image', await firstImage(), '--prompt', 'What is it?'];
    const out = join(folder, 'entropy.safetensors');
    const entropy = ['--kernel', 'docs/examples/kernels/entropy.ts', '--names', 'blocks.2.attn.hook_entropy'];
    const captured = await headlight('capture', ...prompt, ...entropy, '--pos', 'last', '--out', out);
    expect(captured.code, captured.stderr).toBe(0);
    const { tensors } = parseSafetensors(out, new Uint8Array(await readFile(out)));
    expect(tensors.get('blocks.2.attn.hook_entropy')).toMatchObject({ shape: [1, 8] });

    const file = join(folder, 'none.wgsl');
    const zeros = 'for (var i = 0u; i < arrayLength(&out); i++) { out[i] = T(); }';
    await writeFile(file, `@compute @workgroup_size(1) fn main() { ${zeros} }`);
    const generate = async (op: string) =>
      headlight('generate', ...prompt, '--max-new-tokens', '3', '--json', '--kernel', file, '--op', op);
    const none = await generate('rmsNorm');
    expect(none.code, none.stderr).toBe(0);
    expect(JSON.parse(none.stdout).tokens).toEqual([0, 0, 0]); // the first of equal logits
    const nowhere = await generate('mixRows');
    expect(nowhere.stderr).toMatch(
      /headlight: mixRows kernel none\.wgsl: took no place in this run: the run has no mixRows/,
    );
    expect(nowhere.code).toBe(1);
  });

  it('come from a file that is what it should be', async () => {
    const file = join(folder, 'table.mjs');
    await writeFile(file, 'export default { attnetion: { name: "x", wgsl: "" } };');
    const cases: [string[], RegExp][] = [
      [['--kernel', file], /table\.mjs: attnetion: no operation of this name; there are attention, /],
      [['--kernel', file, '--op', 'add'], /--op goes with a \.wgsl file/],
      [['--kernel', join(folder, 'absent.wgsl')], /absent\.wgsl: no such file/],
      [['--kernel', 'README.md'], /README\.md: --kernel takes a \.wgsl text, or a \.mjs/],
      [['--op', 'add'], /--op goes with --kernel/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await headlight('bench', ...args);
      expect(stderr).toMatch(message);
      expect(code).toBe(2);
    }
    const early = await headlight('generate', '--prompt', 'x', '--op', 'add');
    expect(early.stderr).toMatch(/--op goes with --kernel/);
    expect(early.stderr).not.toContain('adapter:'); // before anything is loaded
    expect(early.code).toBe(2);
  });
});

describe('dump-wgsl', () => {
  it('writes every text once, with every dispatch', async () => {
    const out = join(folder, 'wgsl');
    const { code, stdout } = await headlight('dump-wgsl', '--out', out, '--tokens', '9', '--json');
    expect(code).toBe(0);
    const { files } = JSON.parse(stdout) as { files: string[] };
    const index = JSON.parse(await readFile(join(out, 'index.json'), 'utf8'));
    expect((await readdir(out)).sort()).toEqual([...files, 'index.json'].sort());
    expect(new Set(index.dispatches.map((d: { file: string }) => d.file))).toEqual(new Set(files));
    const z = index.dispatches.find((d: { label: string }) => d.label === 'blocks.0.attn.z');
    expect(z).toMatchObject({ entryPoint: 'main', params: [9, 9, expect.any(Number), 0, expect.any(Number), 0] });
    expect(z.bindings.map((b: { name: string }) => b.name)).toEqual(['q', 'k', 'v', 'z']);
    expect(z.bindings[0]).toMatchObject({ binding: 0, access: 'read', dtype: 'f32', shape: [9, 8, 16] });
    expect(await readFile(join(out, z.file), 'utf8')).toMatch(/@compute/);
    const step = join(folder, 'step');
    const ofStep = await headlight('dump-wgsl', '--out', step, '--tokens', '9', '--step');
    expect(ofStep.code, ofStep.stderr).toBe(0);
    const next = JSON.parse(await readFile(join(step, 'index.json'), 'utf8'));
    expect(next).toMatchObject({ step: true, names: [], prompt: { tokens: 9 } });
    expect(next.dispatches.at(-1).label).toBe('next token');
    expect(next.dispatches.find((d: { label: string }) => d.label === 'blocks.0.attn.z').params.slice(0, 2)).toEqual([
      1, 10,
    ]);
    const again = await headlight('dump-wgsl', '--out', out);
    expect(again.stderr).toMatch(/is not empty/);
    expect(again.code).toBe(2);
  });
});
