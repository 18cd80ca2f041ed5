/** What people call an adapter; browsers may tell little of it. */
export const adapterName = (adapter: {
  readonly description: string;
  readonly vendor: string;
  readonly architecture: string;
}): string =>
  adapter.description ||
  [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') ||
  'an adapter without a name';
