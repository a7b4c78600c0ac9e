// Learn: the error travels through fixed feedback to the hidden cells, and the synapses change.
"use strict";
{
  const {
    BFASNN,
    Learner,
    foldIn,
    prngKey,
    uniform,
    permutation,
    normal,
    predicted,
    Pad,
    ErrorChart,
    GridChart,
    AccuracyChart,
    Task,
    accuracy,
    breathe,
    reducedMotion,
    percent,
    make,
    announce,
  } = globalThis.Museum;
  const BATCH = 20; // digits of a minibatch
  const ROUND = 100; // digits between two measurements of accuracy
  const LEARNED = ["W1", "b1", "W2", "b2"];

  /** What the feedback synapses are set to, from how they were. */
  const FEEDBACK = {
    on: (E2) => E2,
    off: (E2) => E2.map(() => 0),
    shuffled: (E2, next) => {
      const order = permutation(E2.length, next);
      return E2.map((_, i) => E2[order[i]]);
    },
    flipped: (E2) => E2.map((w) => -w),
  };
  const COLOURS = { on: "hidden", off: "soft", shuffled: "input", flipped: "output" };

  class LearnRoom {
    /** @param {object} model { shipped, weights, key, samples, lessons, heldOut } */
    constructor(room, model) {
      const find = (name) => room.querySelector(`[data-is=${name}]`);
      Object.assign(this, { model, find, lesson: 0, minibatches: 0, next: uniform(1), drawn: null });
      this.before = null; // weights before the minibatch that is taught
      this.charts = {
        error: new ErrorChart(find("error")),
        signal: new GridChart(find("signal"), 40),
        change: new GridChart(find("change"), 28),
        accuracy: new AccuracyChart(find("accuracy"), {
          label: "digits taught",
          most: (curves) => Math.max(200, ...curves.map(({ points }) => points.at(-1)[0])),
          ticks: (most) => [0, Math.round(most / 2), most],
        }),
      };
      this.pad = new Pad(find("pad"), model.samples, (pixels, label) => this.drew(pixels, label));
      this.listen();
      this.restart();
    }

    listen() {
      const { find } = this;
      for (const k of Array(10).keys()) find("label").append(make("option", {}, `${k}`));
      find("start").addEventListener("change", () => this.restart());
      find("restart").addEventListener("click", () => this.restart());
      find("feedback").addEventListener("change", () => this.switchFeedback());
      find("one").addEventListener("click", () => !this.busy && this.teachDrawn());
      find("many").addEventListener("click", () => (this.busy ? this.stop() : this.teachMany()));
    }

    drew(pixels, label) {
      this.drawn = pixels;
      if (label !== null) this.find("label").value = label;
      this.allow();
    }

    /** New weights, random or trained. */
    restart() {
      this.stop();
      const trained = this.find("start").value === "trained";
      this.weights = trained ? copied(this.model.weights) : this.randomWeights();
      this.E2 = this.weights.E2.slice();
      this.W1 = this.weights.W1.slice();
      this.taught = 0;
      this.curves = [];
      this.makeNets();
      this.switchFeedback();
      this.showNothing();
      this.measure();
    }

    /** Drawn as Python draws them, from a normal distribution, but not the same numbers. */
    randomWeights() {
      const {
        sizes: [D, H, C],
        config,
      } = this.model.shipped;
      const draw = (n) => normal(n, config.weight_std, this.next);
      return { W1: draw(D * H), b1: new Float32Array(H), W2: draw(H * C), b2: new Float32Array(C), E2: draw(C * H) };
    }

    makeNets() {
      const { config, sizes } = this.model.shipped;
      this.net = new BFASNN(config, sizes, this.weights);
      this.learners = [1, BATCH].map((B) => new Learner(new BFASNN(config, sizes, this.weights, B)));
    }

    switchFeedback() {
      this.kind = this.find("feedback").value;
      this.weights.E2.set(FEEDBACK[this.kind](this.E2, this.next));
      const last = this.curves.at(-1)?.points.at(-1);
      if (last) this.addCurve(last);
      this.charts.accuracy.show(this.curves);
    }

    addCurve(...points) {
      this.curves.push({ points, colour: COLOURS[this.kind] });
    }

    /** Goes on with the last of so many curves; those that were begun since then begin here. */
    addPoint(point, drawn) {
      if (drawn === 0) return this.addCurve(point);
      this.curves[drawn - 1].points.push(point);
      for (const curve of this.curves.slice(drawn)) curve.points = [point];
    }

    showNothing() {
      const [D, H, C] = this.model.shipped.sizes;
      this.charts.error.show(new Float32Array(C));
      this.charts.signal.show(new Float32Array(H));
      this.charts.change.show(new Float32Array(D));
      this.find("changed").textContent = "";
      for (const name of ["taught", "number"]) this.find(name).textContent = "\u00a0"; // keeps the line's height
    }

    get busy() {
      return Task.busy(this);
    }

    begin() {
      this.task = new Task(this);
      this.allow();
      return this.task;
    }

    end(text) {
      this.task?.stop();
      this.say(text);
      this.allow();
    }

    /** Stops what is under way, and takes back a minibatch that has not been taught to its end. */
    stop() {
      if (!this.busy) return;
      if (this.before) for (const name of LEARNED) this.weights[name].set(this.before[name]);
      this.before = null;
      this.end(`Stopped; digits taught: ${this.taught}.`);
    }

    say(text, busy) {
      announce(this.find("status"), text, busy);
    }

    allow() {
      this.find("one").disabled = this.drawn === null;
      this.find("one").setAttribute("aria-disabled", this.busy); // disabled, it would lose the focus
      this.find("many").textContent = this.busy ? "Stop" : `Teach ${ROUND} digits`;
    }

    /** Teaches the digit on the pad once, and says what the network makes of it before and after. */
    async teachDrawn() {
      const task = this.begin();
      const label = Number(this.find("label").value);
      const pixels = this.drawn; // the visitor may clear the pad meanwhile
      const before = this.ask(pixels);
      await this.teach(this.learners[0], [{ pixels, label }], task);
      if (!task.replaced) this.end(`Taught ${label}: it said ${before} before, and ${this.ask(pixels)} after.`);
    }

    ask(pixels) {
      const { count, logit } = this.net.present(pixels, foldIn(this.model.key, 0));
      return predicted(count, logit);
    }

    async teachMany() {
      const task = this.begin();
      for (let n = 0; n < ROUND && !task.replaced; n += BATCH) {
        this.say(`Teaching: ${n} of ${ROUND} digits`, true);
        await this.teach(this.learners[1], this.nextLessons(), task);
      }
      if (!task.replaced) await this.measure(task);
    }

    nextLessons() {
      const { lessons } = this.model;
      return Array.from({ length: BATCH }, () => lessons[this.lesson++ % lessons.length]);
    }

    /** Presents a minibatch and learns at every step; draws what the digit with the largest error sends back. */
    async teach(learner, digits, task) {
      if (this.kind === "shuffled") this.weights.E2.set(FEEDBACK.shuffled(this.E2, this.next));
      const { net } = learner;
      const [D] = net.sizes;
      const seen = { error: learner.error.map(() => 0), signal: learner.signal.map(() => 0) }; // means over time
      const pixels = new Uint8Array(digits.length * D);
      digits.forEach((digit, b) => pixels.set(digit.pixels, b * D));
      this.before = copied(this.weights);
      net.begin(pixels, foldIn(prngKey(this.model.shipped.seed), this.minibatches++));
      while (net.t < net.config.T) {
        const due = performance.now() + 25;
        while (net.t < net.config.T && performance.now() < due) this.learnStep(learner, digits, seen);
        if (!reducedMotion.matches) this.showSignals(seen, digits);
        await breathe();
        if (task.replaced) return;
      }
      this.before = null;
      this.taught += digits.length;
      this.showSignals(seen, digits);
      this.showChange();
    }

    learnStep(learner, digits, { error, signal }) {
      const { net } = learner;
      learner.step(digits.map(({ label }) => label));
      const share = 1 / (net.config.T - net.config.burn_in);
      if (net.t <= net.config.burn_in) return;
      for (let i = 0; i < error.length; i++) error[i] += share * learner.error[i];
      for (let i = 0; i < signal.length; i++) signal[i] += share * learner.signal[i];
    }

    showSignals({ error, signal }, digits) {
      const [, H, C] = this.model.shipped.sizes;
      const of = (values, n) => digits.map((_, b) => values.subarray(b * n, (b + 1) * n));
      const errors = of(error, C);
      const sizes = errors.map((values) => values.reduce((sum, e) => sum + Math.abs(e), 0));
      const b = sizes.indexOf(Math.max(...sizes));
      this.charts.error.show(errors[b]);
      this.charts.signal.show(of(signal, H)[b]);
      const which = digits.length > 1 ? ", the digit of the minibatch with the largest error" : "";
      this.find("taught").textContent = `Digit ${digits[b].label}${which}: blue should fire more, orange less.`;
    }

    /** How the input synapses of the hidden cell that learned most have changed. */
    showChange() {
      const [D, H] = this.model.shipped.sizes;
      const total = new Float64Array(H);
      for (let i = 0; i < D * H; i++) total[i % H] += Math.abs(this.weights.W1[i] - this.W1[i]);
      const cell = total.indexOf(Math.max(...total));
      this.charts.change.show(
        Float32Array.from({ length: D }, (_, i) => this.weights.W1[i * H + cell] - this.W1[i * H + cell]),
      );
      const mean = total.reduce((a, b) => a + b) / (D * H);
      const size = `Mean size of a change in all of W1: ${mean.toPrecision(2)}.`;
      this.find("changed").textContent = `Cell ${cell} of ${H}: blue rose, orange fell. ${size}`;
    }

    async measure(task = this.begin()) {
      const { heldOut, key } = this.model;
      const drawn = this.curves.length; // the visitor may switch the feedback meanwhile, which begins a curve
      const progress = (done) => this.say(`Measuring: ${done} of ${heldOut.length} digits`, true);
      const share = await accuracy(this.net, heldOut, key, task, progress);
      if (share === null) return;
      this.addPoint([this.taught, share], drawn);
      this.charts.accuracy.show(this.curves);
      this.find("number").textContent = percent(share, 1);
      this.end(`${percent(share, 1)} of ${heldOut.length} held-out digits right after ${this.taught} digits.`);
    }
  }

  const copied = (weights) =>
    Object.fromEntries(Object.entries(weights).map(([name, values]) => [name, values.slice()]));

  Object.assign(Museum, { LearnRoom });
}
