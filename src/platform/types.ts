/** What an adapter may be asked for. */
export interface AdapterOptions {
  powerPreference?: GPUPowerPreference;
  /** Insist on a software adapter. */
  software?: boolean;
}
