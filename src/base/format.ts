/** A share for people, `83.0 %`; a dash where there is none. */
export const percent = (share: number | undefined): string =>
  share === undefined ? '–' : `${(100 * share).toFixed(1)} %`;
