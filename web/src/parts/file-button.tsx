// A button that has the user choose pictures, or a folder of them.
import { type Given, givenFiles } from '../state/drop.ts';
import { ChooseFiles } from './choose-files.tsx';

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
    <ChooseFiles
      {...{ label, folder }}
      multiple
      accept={folder ? undefined : 'image/*'}
      onFiles={(files) => onGiven(givenFiles(files))}
    />
  );
}

/** All pictures that were given, in folders or not. */
export const allOf = ({ loose, byClass }: Given) => [...loose, ...[...byClass.values()].flat()];
