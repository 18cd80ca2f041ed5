// The worker: it holds the GPU, the model and the classifier, so that the page stays quick.
import { KeptFeatures } from '../kept/features.ts';
import { answerCalls } from './calls.ts';
import type { KernelBench } from './kernels.ts';
import { Session } from './session.ts';
import type { WorkerCalls } from './work.ts';

const note = (text: string) => say({ note: text });
const session = new Session((reason) => say({ lost: reason }), note, new KeptFeatures(note));
let bench: KernelBench | undefined;
/** Fetched when the first call needs it. */
const kernels = async () => {
  bench ??= new (await import('./kernels.ts')).KernelBench();
  return bench;
};
const say = answerCalls<WorkerCalls>(self, {
  keepNothing: () => session.keepNothing(),
  open: (takes, context) => session.open(takes, context),
  price: (takes) => session.price(takes),
  fit: (takes, context) => session.fit(takes, context),
  classify: (takes, context) => session.classify(takes, context),
  look: (takes) => session.look(takes),
  lens: (takes) => session.lens(takes),
  try: (takes) => session.try(takes),
  write: (takes, context) => session.write(takes, context),
  kept: () => session.kept(),
  free: (name) => session.free(name),
  save: () => session.save(),
  read: (takes) => session.read(takes),
  saveProject: (takes) => session.saveProject(takes),
  openProject: (takes) => session.openProject(takes),
  kernelTable: async () => (await kernels()).table(),
  kernelHeader: async (op) => (await kernels()).header(op),
  timeKernels: async (takes, context) => (await kernels()).time(takes, context),
  checkKernel: async (takes, context) => (await kernels()).check(takes, context),
  benchmarkFile: async (takes) => (await kernels()).file(takes),
  readBenchmarks: async (takes) => (await kernels()).read(takes),
  compareBenchmarks: async (takes) => (await kernels()).compare(takes),
});
