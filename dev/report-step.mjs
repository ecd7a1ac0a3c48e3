/** How often the line of a step in progress is drawn anew on a terminal. */
const TICK_MS = 200;

/** A step that took less says nothing about its duration. */
const LONG_STEP_MS = 1000;

/** As wide as the longest name of a step. */
const NAME_WIDTH = 14;

const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

/**
 * One line about each step. On a terminal the line of a step in progress counts the seconds;
 * elsewhere (a log of CI, a pipe) a long step is announced by a line and closed by another.
 * @param {NodeJS.WriteStream} stream
 */
export function createReport(stream) {
  const line = (name, text) => `  ${name.padEnd(NAME_WIDTH)} ${text}`;
  // The text may not reach the right edge, because a wrapped line cannot be drawn anew.
  const redraw = (text) => stream.write(`\r\x1b[2K${text.slice(0, (stream.columns || 80) - 1)}`);

  /**
   * Runs one step. `work` is given `doing(text)`, to be called before something that takes long, and
   * returns the text that closes the step.
   * @param {string} name
   * @param {(doing: (text: string) => void) => Promise<string>} work
   */
  return async function reportStep(name, work) {
    const start = performance.now();
    const elapsed = () => performance.now() - start;
    let ticker;
    const doing = (text) => {
      clearInterval(ticker);
      if (!stream.isTTY) {
        stream.write(`${line(name, text)} …\n`);
        return;
      }
      const tick = () => redraw(line(name, `${text} … ${seconds(elapsed())}`));
      tick();
      ticker = setInterval(tick, TICK_MS);
    };
    try {
      const outcome = await work(doing);
      if (ticker !== undefined) redraw("");
      const duration = elapsed() < LONG_STEP_MS ? "" : ` (${seconds(elapsed())})`;
      stream.write(`${line(name, outcome)}${duration}\n`);
    } catch (error) {
      if (ticker !== undefined) redraw("");
      stream.write(`${line(name, "failed")}\n`);
      throw error;
    } finally {
      clearInterval(ticker);
    }
  };
}
