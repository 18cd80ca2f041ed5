import { describe, expect, it } from 'vitest';
import { type Command, workOf } from '../../src/gpu/command.ts';
import { DeviceLostError } from '../../src/gpu/errors.ts';
import { Pace } from '../../src/gpu/pace.ts';

const command = (flops: number, bytes = 0): Command => ({
  dispatch: { kernel: 'k', label: 'l', code: '', bindings: [], workgroups: [1], cost: { flops, bytes } },
});

/** A GPU of so much work a millisecond, which takes one submission after another. */
class Clock {
  ms = 0;
  readonly now = () => this.ms;
  /** Runs all commands as a recording is run. @returns the milliseconds of each submission. */
  async run(pace: Pace, commands: readonly Command[], speed: (command: Command) => number): Promise<number[]> {
    const times: number[] = [];
    for (let start = 0; start < commands.length; ) {
      const { end, work } = pace.next(commands, start);
      const piece = commands.slice(start, end);
      let finish = () => {};
      const timed = pace.time(work, new Promise<void>((done) => (finish = done)));
      const ms = piece.reduce((sum, each) => sum + workOf(each) / speed(each), 0);
      this.ms += ms;
      times.push(ms);
      finish();
      await timed;
      start = end;
    }
    return times;
  }
}

describe('Pace', () => {
  it.each([1e7, 3e8, 1e10, 1e11])(
    'brings a GPU of %d operations a millisecond to its target, from below',
    async (speed) => {
      const clock = new Clock();
      const pace = new Pace(100, clock.now);
      const commands = Array.from({ length: 6000 }, () => command(speed));
      const times = await clock.run(pace, commands, () => speed);
      expect(Math.max(...times)).toBeLessThanOrEqual(101);
      for (const [i, ms] of times.slice(0, -1).entries())
        if (ms < 99) expect(ms, `submission ${i}`).toBeLessThanOrEqual(4 * (times[i - 1] ?? 100) + 1);
      expect(times.length).toBeLessThan(60 + 8); // 60 at the target, some before it
    },
  );

  it('becomes careful again where the same work takes longer', async () => {
    const clock = new Clock();
    const pace = new Pace(100, clock.now);
    const commands = Array.from({ length: 1000 }, () => command(1e9));
    await clock.run(pace, commands, () => 1e9);
    const times = await clock.run(pace, commands, () => 1e8);
    expect(times[0]).toBeGreaterThan(900);
    expect(Math.max(...times.slice(1))).toBeLessThanOrEqual(101);
  });

  it('is not misled by runs of little work, whose time is the latency', async () => {
    const clock = new Clock();
    const pace = new Pace(100, clock.now);
    await clock.run(
      pace,
      Array.from({ length: 1000 }, () => command(1e9)),
      () => 1e9,
    );
    const before = pace.work;
    await clock.run(pace, [command(1e6)], () => 1e5);
    expect(pace.work).toBe(before);
    await clock.run(pace, [command(1e6)], () => 1e3); // a second, in which the machine did something else
    expect(pace.work).toBe(new Pace(100).work);
  });

  it('takes one command at the least, and counts what limits a command', () => {
    const pace = new Pace(1);
    expect(pace.next([command(1e15), command(1)], 0).end).toBe(1);
    expect(pace.next([command(4e6), command(0, 4e5), command(1)], 0).end).toBe(1); // 4e6 + 16 * 4e5 > 1e7
    expect(pace.next([command(4e6), command(0, 3e5), command(1)], 0).end).toBe(3);
    const tensor = {
      label: 't',
      dtype: 'f32' as const,
      shape: [1000],
      offset: 0,
      storage: { label: 't', size: 4000, buffer: undefined },
    };
    expect(workOf({ copy: { from: tensor, to: tensor } }) + workOf(command(5))).toBe(64_005);
  });

  it('knows how long the GPU has been busy with the submission that it has now', async () => {
    const clock = new Clock();
    const pace = new Pace(100, clock.now);
    const finish: (() => void)[] = [];
    const time = () => pace.time(1, new Promise<void>((done) => finish.push(done)));
    expect(pace.busyMs).toBe(0);
    const first = time();
    clock.ms = 30;
    const second = time();
    expect(pace.busyMs).toBe(30);
    finish[0]();
    await first;
    clock.ms = 50;
    expect(pace.busyMs).toBe(20); // the second began when the first was done
    finish[1]();
    await second;
    expect(pace.busyMs).toBe(0);
    const failed = pace.time(1, Promise.reject(new Error('lost')));
    await expect(failed).rejects.toThrow('lost');
    expect(pace.busyMs).toBe(0);
  });
});

describe('DeviceLostError', () => {
  it('tells a loss by time-out, and the way out', () => {
    const { message } = new DeviceLostError('unknown', 'DXGI_ERROR_DEVICE_HUNG', 2345);
    expect(message).toMatch(
      /^the GPU device was lost \(unknown, 2\.3 s into one submission\): DXGI_ERROR_DEVICE_HUNG; /,
    );
    expect(message).toMatch(/too long: run less at once .* submissionMs; open a new one/);
    for (const other of [new DeviceLostError('unknown', '', 300), new DeviceLostError('destroyed', '', 2345)])
      expect(other.message).not.toMatch(/submission/);
  });
});
