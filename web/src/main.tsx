import { render } from 'preact';
import { App } from './app.tsx';
import { keepProject, restoreProject } from './kept/project.ts';
import { keepPage } from './offline/register.ts';
import { start } from './state/engine.ts';

render(<App />, document.getElementById('page')!);
const wasFitted = await restoreProject();
keepProject();
await start(wasFitted);
await keepPage();
