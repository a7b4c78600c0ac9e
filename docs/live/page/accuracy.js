// Accuracy on the held-out digits, measured a few at a time so that the page stays alive.
"use strict";
{
  const { foldIn, predicted, breathe } = globalThis.Museum;

  /** A task that a newer one of the same room replaces. */
  class Task {
    static newest = new WeakMap();

    /** Whether a room has a task that is neither finished nor replaced. */
    static busy(room) {
      return Task.newest.has(room);
    }

    constructor(room) {
      this.room = room;
      Task.newest.set(room, this);
    }

    get replaced() {
      return Task.newest.get(this.room) !== this;
    }

    /** Ends it, if it is not replaced. */
    stop() {
      if (!this.replaced) Task.newest.delete(this.room);
    }
  }

  /**
   * @param {BFASNN} net of one pattern
   * @param {object[]} digits { label, pixels }
   * @param {number[]} key digit i is presented with foldIn(key, i)
   * @param {Task} task stops when it is replaced
   * @param {(done: number) => void} progress
   * @returns {Promise<number | null>} share of digits that are predicted right; null if stopped
   */
  async function accuracy(net, digits, key, task, progress) {
    let right = 0;
    let due = performance.now() + 30;
    for (let i = 0; i < digits.length; i++) {
      const { count, logit } = net.present(digits[i].pixels, foldIn(key, i));
      right += predicted(count, logit) === digits[i].label;
      if (performance.now() < due) continue;
      progress(i + 1);
      await breathe();
      if (task.replaced) return null;
      due = performance.now() + 30;
    }
    return right / digits.length;
  }

  Object.assign(Museum, { Task, accuracy });
}
