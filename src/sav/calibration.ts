/** Confidence from how clear a vote was: 1 / (1 + exp(-(slope * lead + intercept))). */
export interface Calibration {
  slope: number;
  intercept: number;
}

/**
 * Platt scaling (Platt 1999) of `lead` on whether the leave-one-out prediction was right, with his smoothed targets, so
 * that a training set without a mistake does not promise certainty. Where a clearer vote is not more often right, the
 * slope is 0 and every confidence is the leave-one-out accuracy.
 */
export function fitCalibration(lead: ArrayLike<number>, right: readonly boolean[]): Calibration {
  const n = right.length;
  const rights = right.filter(Boolean).length;
  const high = (rights + 1) / (rights + 2);
  const low = 1 / (n - rights + 2);
  const target = right.map((value) => (value ? high : low));
  const base = target.reduce((a, b) => a + b, 0) / n;
  const constant = { slope: 0, intercept: Math.log(base / (1 - base)) };

  let mean = 0;
  for (let i = 0; i < n; i++) mean += lead[i] / n;
  let variance = 0;
  for (let i = 0; i < n; i++) variance += (lead[i] - mean) ** 2 / n;
  const spread = Math.sqrt(variance);
  if (spread < 1e-12) return constant;

  // Newton's method on a convex loss in two unknowns; z is the standardised lead, the ridge keeps the step bounded.
  let slope = 0;
  let intercept = constant.intercept;
  const ridge = 1e-3;
  for (let step = 0; step < 50; step++) {
    let [ga, gb, haa, hab, hbb] = [ridge * slope, 0, ridge, 0, 1e-12];
    for (let i = 0; i < n; i++) {
      const z = (lead[i] - mean) / spread;
      const p = 1 / (1 + Math.exp(-(slope * z + intercept)));
      const w = p * (1 - p);
      ga += (p - target[i]) * z;
      gb += p - target[i];
      haa += w * z * z;
      hab += w * z;
      hbb += w;
    }
    const determinant = haa * hbb - hab * hab;
    const da = (hbb * ga - hab * gb) / determinant;
    const db = (haa * gb - hab * ga) / determinant;
    slope -= da;
    intercept -= db;
    if (Math.abs(da) + Math.abs(db) < 1e-9) break;
  }
  if (!(slope > 0) || !Number.isFinite(intercept)) return constant;
  return { slope: slope / spread, intercept: intercept - (slope * mean) / spread };
}

export function confidenceOf(calibration: Calibration, lead: number): number {
  return 1 / (1 + Math.exp(-(calibration.slope * lead + calibration.intercept)));
}
