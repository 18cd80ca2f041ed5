// What the user must know now, whatever tab is open.
import { newVersion, takeNewVersion } from '../offline/register.ts';
import { lost, problem, reopen } from '../state/engine.ts';

export function Banners() {
  return (
    <>
      {newVersion.value !== undefined && (
        <div class="banner" role="status">
          <p>A new version of this page is here. Your pictures and classes stay.</p>
          <button type="button" onClick={takeNewVersion}>
            Use it
          </button>
        </div>
      )}
      {lost.value !== undefined && (
        <div class="banner bad" role="alert">
          <p>
            The GPU was lost ({lost.value}). Your pictures and classes are still here. Where it is lost again and again,
            restart the browser.
          </p>
          <button type="button" onClick={() => void reopen()}>
            Reopen
          </button>
        </div>
      )}
      {problem.value !== undefined && (
        <div class="banner bad" role="alert">
          <p>{problem.value}</p>
          <button
            type="button"
            onClick={() => {
              problem.value = undefined;
            }}
          >
            Close
          </button>
        </div>
      )}
    </>
  );
}
