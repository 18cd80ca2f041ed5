// Pictures of the page for docs/page.md, by hand: npx tsx -C headlight-source tools/page-pictures.ts
import { Site } from '../test/web/site.ts';

const site = await Site.open();
const page = await site.visit(undefined, { colorScheme: 'light' });
await page.goto(site.url);
await page.getByText('6 layers of 8 heads').waitFor({ timeout: 120_000 });
await page.getByLabel('Sample task').selectOption('novel-words');
await page.getByText('12 pictures').nth(3).waitFor();
await page.getByRole('button', { name: 'Fit', exact: true }).click();
await page.getByTestId('label').nth(15).waitFor({ timeout: 300_000 });
await page.evaluate('scrollTo(0, 0)');
await page.screenshot({ path: 'docs/pictures/page-classify.png' });
await page
  .getByRole('button', { name: /^Look inside for/ })
  .first()
  .click();
await page.getByText('of its attention').waitFor({ timeout: 60_000 });
await page.getByRole('button', { name: 'Cut all that vote' }).click();
await page.getByRole('heading', { name: 'After' }).waitFor();
await page.locator('.outcome').nth(1).locator('li').nth(4).waitFor({ timeout: 60_000 });
await page.screenshot({ path: 'docs/pictures/page-look-inside.png' });
await page.getByRole('tab', { name: 'Kernels' }).click();
await page.getByLabel('Only problems whose name contains').fill('60,128]');
await page.getByRole('button', { name: 'Measure', exact: true }).click();
await page.locator('.kernel-times tbody').nth(6).waitFor({ timeout: 300_000 });
await page.locator('.job-bar[data-running=false]').waitFor({ state: 'attached', timeout: 60_000 });
await page.getByRole('button', { name: 'Check against float64' }).click();
await page.getByText('Right on all').waitFor({ timeout: 60_000 });
await page.setViewportSize({ width: 1280, height: 1200 });
await page.screenshot({ path: 'docs/pictures/page-kernels.png' });
await page.setViewportSize({ width: 1280, height: 900 });
await page.getByRole('tab', { name: 'Look inside' }).click();
await page.locator('.outcome').nth(1).locator('li').nth(4).waitFor({ timeout: 60_000 });
await page.emulateMedia({ colorScheme: 'dark' });
await page.setViewportSize({ width: 390, height: 844 });
await page.screenshot({ path: 'docs/pictures/page-narrow.png' });
await site.close();
