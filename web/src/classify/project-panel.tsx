// The project taken along: its file is written, and opened.
import { OpenFile } from '../parts/open-file.tsx';
import { job } from '../state/engine.ts';
import { classes, misnamed, queries } from '../state/project.ts';
import { openProject, projectExtension, saveProject } from '../state/project-file.ts';

export function ProjectPanel() {
  const isEmpty = queries.value.length === 0 && classes.value.every(({ pictures }) => pictures.length === 0);
  const why = isEmpty ? undefined : misnamed.value;
  return (
    <section aria-labelledby="project">
      <h2 id="project">Project</h2>
      <p class="hint">
        {why ??
          'A project file has the question, all pictures with their classes, the settings, and what the heads made of the pictures.'}
      </p>
      <div class="row">
        <button
          type="button"
          disabled={isEmpty || why !== undefined || job.value !== undefined}
          onClick={() => void saveProject()}
        >
          Save the project
        </button>
        <OpenFile
          label="Open a project"
          accept={projectExtension}
          disabled={job.value !== undefined}
          onFile={(name, bytes) => void openProject(name, bytes)}
        />
      </div>
    </section>
  );
}
