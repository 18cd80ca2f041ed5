import { render } from 'preact';
import { App } from './app.tsx';
import { openModel } from './state/engine.ts';

render(<App />, document.getElementById('page')!);
void openModel();
