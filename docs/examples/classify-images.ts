// For someone with images and labels: a few-shot classifier from about 20 examples a class, and why it answers so.
// Run: npx tsx -C headlight-source docs/examples/classify-images.ts
import { openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { extractFeatures, fitClassifier, readExamples } from 'headlight-vlm/sav';

const gpu = await openGpu();
const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const data = await openFolder('weights/tiny-llava/tasks');

// One forward pass per example; nothing is trained.
const train = await readExamples(data, 'warm-cool.train.jsonl');
const features = await extractFeatures(model, train);
const { classifier } = await fitClassifier(
  features,
  train.map((row) => row.label!),
  { k: 'auto' },
);
console.log(`${classifier.data.heads.length} of ${model.nLayers * model.nHeads} heads vote`);
console.log(`leave-one-out accuracy ${(100 * classifier.data.leaveOneOutAccuracy!).toFixed(0)} %`);

const queries = (await readExamples(data, 'warm-cool.test.jsonl')).slice(0, 4);
const { vectors } = await extractFeatures(model, queries);
for (const [i, query] of queries.entries()) {
  const { label, confidence, heads } = classifier.classify(vectors[i]);
  const votes = heads.map((h) => `${h.layer}.${h.head}:${h.label}`).join(' ');
  console.log(`${label} (truth ${query.label}), confidence ${confidence?.toFixed(2)}; ${votes}`);
}
model.destroy();
gpu.dispose();
