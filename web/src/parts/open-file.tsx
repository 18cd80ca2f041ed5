// A button that has the user choose one file, and reads it.
import { ChooseFiles } from './choose-files.tsx';

export function OpenFile({
  onFile,
  ...button
}: {
  label: string;
  /** The end of its name. */
  accept: string;
  disabled?: boolean;
  onFile: (name: string, bytes: Uint8Array) => void;
}) {
  return (
    <ChooseFiles
      {...button}
      onFiles={([file]) => void file.arrayBuffer().then((bytes) => onFile(file.name, new Uint8Array(bytes)))}
    />
  );
}
