// The worker: it holds the GPU, the model and the classifier, so that the page stays quick.
import { KeptFeatures } from '../kept/features.ts';
import { answerCalls } from './calls.ts';
import { Session } from './session.ts';
import type { WorkerCalls } from './work.ts';

const note = (text: string) => say({ note: text });
const session = new Session((reason) => say({ lost: reason }), note, new KeptFeatures(note));
const say = answerCalls<WorkerCalls>(self, {
  open: (takes, context) => session.open(takes, context),
  price: (takes) => session.price(takes),
  fit: (takes, context) => session.fit(takes, context),
  classify: (takes, context) => session.classify(takes, context),
  look: (takes) => session.look(takes),
  try: (takes) => session.try(takes),
  kept: () => session.kept(),
  free: (name) => session.free(name),
  save: () => session.save(),
  read: (takes) => session.read(takes),
});
