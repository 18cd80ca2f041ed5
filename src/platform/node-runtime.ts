/** What runs Headlight, for files of measurements: `node 22.1.0 linux-x64`. */
export const runtimeName = (): string => `node ${process.versions.node} ${process.platform}-${process.arch}`;
