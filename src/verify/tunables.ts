import type { Capabilities } from '../gpu/capabilities.ts';
import { type FormatName, formats } from '../gpu/formats/index.ts';
import type { TuningQuestion } from '../gpu/tuning.ts';
import { attentionCandidateNames, attentionObstacle } from '../kernels/attention/candidates.ts';
import { attentionProblem } from '../kernels/attention/problem.ts';
import { attentionCase } from '../kernels/attention/reference.ts';
import { candidateObstacle, matmulCandidateNames } from '../kernels/matmul/candidates.ts';
import { matmulProblem } from '../kernels/matmul/problem.ts';
import type { Problem } from '../kernels/problem.ts';
import { vectorWidth } from '../kernels/vectors.ts';

/** An operation that a device can be tuned for. */
interface Tunable {
  /** Names of all its candidates, on any device. */
  readonly candidates: readonly string[];
  /** What a question is about: a problem of its sizes, its operations, and the candidates that can run. */
  at(
    sizes: TuningQuestion['sizes'],
    device: Capabilities,
  ): { readonly problem: () => Problem<string>; readonly flops: number; readonly candidates: readonly string[] };
}

/** A candidate's name comes back from where it was listed: problems take it as the operation's own. */
const anyName = <Name extends string>(problem: Problem<Name>) => problem as Problem<string>;

/**
 * By operation; each one's folder has its table of candidates. On software adapters those with barriers are not tried: they take seconds
 * to compile there, and are slow (attention.wgsl.ts, quad.wgsl.ts).
 */
export const tunables: Readonly<Record<'attention' | 'matmul', Tunable>> = {
  matmul: {
    candidates: matmulCandidateNames,
    at(sizes, device) {
      const [m, n, k] = [Number(sizes.rows), Number(sizes.n), Number(sizes.k)];
      const format = formats[sizes.format as FormatName];
      return {
        problem: () => anyName(matmulProblem({ m, n, k, format })),
        flops: 2 * m * n * k,
        candidates: matmulCandidateNames.filter(
          (name) =>
            !candidateObstacle(name, { rows: m, n, k }, device) &&
            !(device.software && /^(workgroup|matvec) /.test(name)),
        ),
      };
    },
  },
  attention: {
    candidates: attentionCandidateNames,
    at(sizes, device) {
      const [queries, keys, batch, heads, kvHeads, headSize] = [
        ...[sizes.queries, sizes.keys, sizes.batch, sizes.heads, sizes.kvHeads, sizes.headSize],
      ].map(Number);
      const causal = sizes.mask !== 'full';
      const window = sizes.window === undefined ? undefined : Number(sizes.window);
      const stored = sizes.format === 'f16' ? 'f16' : undefined;
      const c = attentionCase({ queries, keys, batch, heads, kvHeads, headSize, causal, window, stored });
      const width = stored ? (headSize % 4 ? 1 : 4) : vectorWidth(headSize);
      const mask = window === undefined ? undefined : 'window';
      const seen = window ?? (causal && queries > 1 ? keys / 2 : keys);
      return {
        problem: () => anyName(attentionProblem('attention', c)),
        flops: 4 * batch * heads * headSize * queries * seen,
        candidates: attentionCandidateNames.filter(
          (name) =>
            !attentionObstacle(name, { queries, headSize, width, mask }, device) &&
            !(device.software && /^(tile|decode)/.test(name)),
        ),
      };
    },
  },
};
