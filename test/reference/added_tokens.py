"""What the Rust tokenizers make of added tokens with every flag: writes ../fixtures/tokenizers/added-tokens.json.

    python test/reference/added_tokens.py [sets texts seed [file]]     (default: 80 sets of 8 texts)
"""
import json, os, random, signal, sys
from pathlib import Path
from tokenizers import Tokenizer, AddedToken

fixtures = Path(__file__).resolve().parent.parent / 'fixtures'
n_sets, n_texts, seed = (int(x) for x in (sys.argv[1:4] or (80, 8, 7)))
out = Path(sys.argv[4]) if len(sys.argv) > 4 else fixtures / 'tokenizers' / 'added-tokens.json'
rng = random.Random(seed)
bases = ['checkpoints/llava-f32', 'families/qwen2-vl-f32', 'families/clip-f32', 'families/siglip-f32']
contents = ['cat', 'Cat', 'at', 'a', 'cats', '<x>', '<x> y', 'é', 'E', '_', '1', '12', '-', 'the', 'né', '😀', 'a b', '▁', '▁cat', 'ß']
parts = ['cat', 'Cat', 'CAT', 'at', ' ', '  ', '\n', '\t', '_', '1', '12', '-', '.', ',', 'é', 'e\u0301', '\u00a0', '😀', '<x>', '<x> y', 'cats', 'a', 'b', 'the', 'né', '\u200d', '中', 'ß', '\u3000', '(', '"', 'E', '▁', 'x', 'Σ']

def make(base, tokens, texts):
    tok = Tokenizer.from_file(str(fixtures / base / 'tokenizer.json'))
    for t in tokens:
        token = AddedToken(**{k: v for k, v in t.items()})
        (tok.add_special_tokens if t['special'] else tok.add_tokens)([token])
    added = json.loads(tok.to_str())['added_tokens']
    known = {a['content'] for a in json.loads((fixtures / base / 'tokenizer.json').read_text())['added_tokens']}
    ids = [[text, tok.encode(text, add_special_tokens=False).ids] for text in texts]
    return dict(base=base, added=[a for a in added if a['content'] not in known], texts=ids)


def alone(*args):
    """In a process of its own: where stripped spaces overlap, the Rust library panics or goes on without end."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        signal.alarm(3)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            os.write(write, json.dumps(make(*args)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, 'rb') as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(data) if data else None


cases = []
for s in range(n_sets):
    tokens = [
        dict(content=content, single_word=rng.random() < .5, lstrip=rng.random() < .3, rstrip=rng.random() < .3,
             normalized=rng.random() < .5, special=rng.random() < .3)
        for content in rng.sample(contents, rng.randint(1, 5))
    ]
    pool = parts + [t['content'] for t in tokens] * 3
    texts = [''.join(rng.choice(pool) for _ in range(rng.randint(1, 8))) for _ in range(n_texts)]
    if case := alone(bases[s % len(bases)], tokens, texts):
        cases.append(case)
out.write_text(json.dumps(cases, ensure_ascii=False, separators=(',', ':')))
print(len(cases), 'of', n_sets, out.stat().st_size)
