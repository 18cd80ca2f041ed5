// A button that opens the system's choice of files.
import { type Given, givenFiles } from '../state/drop.ts';

export function FileButton({
  label,
  folder = false,
  onGiven,
}: {
  label: string;
  /** Choose a folder, not files. */
  folder?: boolean;
  onGiven: (given: Given) => void;
}) {
  return (
    <label class="button">
      {label}
      <input
        class="unseen"
        type="file"
        multiple
        accept={folder ? undefined : 'image/*'}
        {...(folder && { webkitdirectory: true })}
        onChange={({ currentTarget }) => {
          if (currentTarget.files?.length) onGiven(givenFiles(currentTarget.files));
          currentTarget.value = ''; // so that the same files can be chosen again
        }}
      />
    </label>
  );
}

/** All pictures that were given, in folders or not. */
export const allOf = ({ loose, byClass }: Given) => [...loose, ...[...byClass.values()].flat()];
