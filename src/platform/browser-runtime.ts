/** What runs Headlight, for files of measurements: the browser, as it names itself. */
export const runtimeName = (): string => navigator.userAgent;
