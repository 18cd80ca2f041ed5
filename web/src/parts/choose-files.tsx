// A button that opens the system's choice of files.

export function ChooseFiles({
  label,
  accept,
  multiple,
  folder = false,
  disabled,
  onFiles,
}: {
  label: string;
  /** Ends of names, or kinds. */
  accept?: string;
  multiple?: boolean;
  /** Choose a folder, not files. */
  folder?: boolean;
  disabled?: boolean;
  /** At least one. */
  onFiles: (files: readonly File[]) => void;
}) {
  return (
    <label class="button">
      {label}
      <input
        class="unseen"
        type="file"
        {...{ accept, multiple, disabled }}
        {...(folder && { webkitdirectory: true })}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          if (files.length) onFiles(files);
          currentTarget.value = ''; // so that the same files can be chosen again
        }}
      />
    </label>
  );
}
