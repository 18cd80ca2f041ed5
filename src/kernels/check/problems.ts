import { argmaxProblems } from '../argmax/problem.ts';
import { attentionProblems } from '../attention/problem.ts';
import { attentionPatternProblems, attentionScoresProblems } from '../attention-pattern/problem.ts';
import { attentionValuesProblems } from '../attention-values/problem.ts';
import type { KernelOp } from '../custom/kernels.ts';
import { editProblems } from '../edit/problem.ts';
import {
  activationProblems,
  addProblems,
  concatColumnsProblems,
  gatedActivationProblems,
  gatherRowsProblems,
} from '../elementwise/problem.ts';
import { embeddingProblems } from '../embedding/problem.ts';
import { headResultProblems, headSumProblems } from '../head-result/problem.ts';
import { matmulProblems } from '../matmul/problem.ts';
import { mixRowsProblems } from '../mix-rows/problem.ts';
import { layerNormProblems, normScaleProblems, rmsNormProblems } from '../norm/problem.ts';
import { patchifyProblems } from '../patchify/problem.ts';
import type { Problem } from '../problem.ts';
import { copyRowsProblems, rotaryProblems } from '../rotary/problem.ts';
import { spliceProblems } from '../splice/problem.ts';
import { visionEmbeddingProblems } from '../vision-embedding/problem.ts';

/**
 * Every operation at sizes where kernels go wrong: 1, odd, prime, just over a tile, several parts. Made when asked for: their
 * data takes a while, which no other command should pay.
 */
export const problems: Readonly<Record<KernelOp, () => readonly Problem[]>> = {
  attention: attentionProblems,
  'attention-scores': attentionScoresProblems,
  'attention-pattern': attentionPatternProblems,
  'attention-values': attentionValuesProblems,
  'head-result': headResultProblems,
  'head-sum': headSumProblems,
  matmul: matmulProblems,
  rmsNorm: rmsNormProblems,
  layerNorm: layerNormProblems,
  normScale: normScaleProblems,
  rotary: rotaryProblems,
  'copy-rows': copyRowsProblems,
  activation: activationProblems,
  gatedActivation: gatedActivationProblems,
  add: addProblems,
  embedding: embeddingProblems,
  argmax: argmaxProblems,
  gatherRows: gatherRowsProblems,
  concatColumns: concatColumnsProblems,
  splice: spliceProblems,
  mixRows: mixRowsProblems,
  edit: editProblems,
  patchify: patchifyProblems,
  visionEmbedding: visionEmbeddingProblems,
};
