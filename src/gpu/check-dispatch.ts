import type { GpuContext } from './context.ts';
import { type Dispatch, storagesOf } from './dispatch.ts';
import { KernelError } from './errors.ts';
import { paramsBytes } from './pipeline-cache.ts';
import { byteSize, isBindable } from './tensor.ts';

/** @throws KernelError for a dispatch that this adapter cannot run: it is refused when it is recorded, not when it runs. */
export function checkDispatch({ capabilities, device }: GpuContext, dispatch: Dispatch): void {
  const { kernel, label, workgroups, params } = dispatch;
  const fail = (problem: string) => new KernelError(kernel, problem);
  const limit = capabilities.maxWorkgroupsPerDimension;
  if (workgroups.some((n) => !(n! <= limit)))
    throw fail(`${label}: workgroups [${workgroups}] exceed ${limit} a dimension`);
  if ((params?.length ?? 0) * 4 > paramsBytes)
    throw fail(`${label}: ${params?.length} params, at most ${paramsBytes / 4}`);
  const { maxStorageBufferBindingSize: largest, maxStorageBuffersPerShaderStage: most } = device.limits;
  const storages = storagesOf(dispatch);
  if (storages.length > most)
    throw fail(`${label}: ${storages.length} storage bindings, this adapter has ${most}: put several inputs into one`);
  for (const { tensor } of storages) {
    const bytes = byteSize(tensor.dtype, tensor.shape);
    if (bytes > largest)
      throw fail(
        `${tensor.label} [${tensor.shape}] takes ${bytes} bytes, more than the ${largest} that this adapter binds: run fewer or shorter prompts at once, or give posSlice`,
      );
    if (!isBindable(tensor))
      throw fail(`${tensor.label} starts at byte ${tensor.offset}, not a multiple of 256: copy it first`);
  }
}
