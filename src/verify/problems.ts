import { argmaxProblems } from '../kernels/argmax/problem.ts';
import { attentionProblems } from '../kernels/attention/problem.ts';
import { attentionPatternProblems, attentionScoresProblems } from '../kernels/attention-pattern/problem.ts';
import { attentionValuesProblems } from '../kernels/attention-values/problem.ts';
import type { KernelOp } from '../kernels/custom/kernels.ts';
import { editProblems } from '../kernels/edit/problem.ts';
import {
  activationProblems,
  addProblems,
  concatColumnsProblems,
  gatedActivationProblems,
  gatherRowsProblems,
} from '../kernels/elementwise/problem.ts';
import { embeddingProblems } from '../kernels/embedding/problem.ts';
import { headResultProblems, headSumProblems } from '../kernels/head-result/problem.ts';
import { matmulProblems } from '../kernels/matmul/problem.ts';
import { mixRowsProblems } from '../kernels/mix-rows/problem.ts';
import { layerNormProblems, normScaleProblems, rmsNormProblems } from '../kernels/norm/problem.ts';
import { patchifyProblems } from '../kernels/patchify/problem.ts';
import type { Problem } from '../kernels/problem.ts';
import { copyRowsProblems, rotaryProblems } from '../kernels/rotary/problem.ts';
import { spliceProblems } from '../kernels/splice/problem.ts';
import { visionEmbeddingProblems } from '../kernels/vision-embedding/problem.ts';

/**
 * Every operation at sizes where kernels go wrong: 1, odd, prime, just over a tile, several parts. Made when asked for: their
 * data takes a while, which no other command should pay.
 */
export const problems: Readonly<Record<KernelOp, () => readonly Problem[]>> = {
  attention: attentionProblems,
  attentionScores: attentionScoresProblems,
  attentionPattern: attentionPatternProblems,
  attentionValues: attentionValuesProblems,
  headResult: headResultProblems,
  headSum: headSumProblems,
  matmul: matmulProblems,
  rmsNorm: rmsNormProblems,
  layerNorm: layerNormProblems,
  normScale: normScaleProblems,
  rotary: rotaryProblems,
  copyRows: copyRowsProblems,
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
