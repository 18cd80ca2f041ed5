import { render } from 'preact';
import { App } from './app.tsx';
import { Embedded } from './embed/embedded.tsx';
import { openEmbedded } from './embed/open.ts';
import { keepProject, restoreProject } from './kept/project.ts';
import { keepPage } from './offline/register.ts';
import { start } from './state/engine.ts';

const page = document.getElementById('page')!;
const asked = new URLSearchParams(location.search);
const classifier = asked.get('classifier');
if (classifier === null) {
  render(<App />, page);
  const wasFitted = await restoreProject();
  keepProject();
  await start(wasFitted);
  await keepPage();
} else {
  render(<Embedded />, page);
  await openEmbedded(classifier, asked.get('model'));
}
