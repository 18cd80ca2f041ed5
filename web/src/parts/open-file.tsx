// A button that has the user choose one file, and reads it.

export function OpenFile({
  label,
  accept,
  disabled = false,
  onFile,
}: {
  label: string;
  /** The end of its name. */
  accept: string;
  disabled?: boolean;
  onFile: (name: string, bytes: Uint8Array) => void;
}) {
  return (
    <label class="button">
      {label}
      <input
        class="unseen"
        type="file"
        accept={accept}
        disabled={disabled}
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          if (file) void file.arrayBuffer().then((bytes) => onFile(file.name, new Uint8Array(bytes)));
          currentTarget.value = ''; // so that the same file can be chosen again
        }}
      />
    </label>
  );
}
