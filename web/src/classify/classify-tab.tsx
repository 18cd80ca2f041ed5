// From pictures in classes to a classifier, and from it to labels of other pictures.
import { FitPanel } from './fit-panel.tsx';
import { ProjectPanel } from './project-panel.tsx';
import { Queries } from './queries.tsx';
import { Results } from './results.tsx';
import { Teach } from './teach.tsx';

export function ClassifyTab() {
  return (
    <div class="columns">
      <div>
        <Teach />
        <FitPanel />
        <ProjectPanel />
      </div>
      <div>
        <Results />
        <Queries />
      </div>
    </div>
  );
}
