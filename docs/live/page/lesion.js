// Lesion: cells or synapses fall silent, pictures get static, and the accuracy falls.
"use strict";
{
  const {
    BFASNN,
    foldIn,
    damaged,
    withStatic,
    recorded,
    bands,
    timeOf,
    RasterChart,
    Answer,
    AccuracyChart,
    Task,
    accuracy,
    drawPixels,
    percent,
    announce,
  } = globalThis.Museum;
  const COLOURS = { cells: "hidden", synapses: "output", static: "input" };
  const TITLES = { cells: "Silent cells", synapses: "Cut synapses", static: "Static" };
  const SWEEP = [0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9];

  class LesionRoom {
    /** @param {object} model { shipped, weights, key, samples, heldOut } */
    constructor(room, model) {
      const find = (name) => room.querySelector(`[data-is=${name}]`);
      Object.assign(this, { model, find, seed: 1, sample: 0, curves: {} });
      this.damage = { cells: 0, synapses: 0, static: 0 };
      this.net = new BFASNN(model.shipped.config, model.shipped.sizes, model.weights);
      this.raster = new RasterChart(
        find("raster"),
        bands(this.net, () => this.record),
        timeOf(model.shipped.config),
      );
      this.answer = new Answer(find("answer"), find("verdict"));
      this.chart = new AccuracyChart(find("accuracy"), {
        label: "damage (%)",
        most: () => 90,
        ticks: () => [0, 30, 60, 90],
      });
      this.listen();
      this.apply();
    }

    listen() {
      for (const kind of Object.keys(COLOURS)) {
        const slider = this.find(kind);
        slider.addEventListener("input", () => {
          this.damage[kind] = Number(slider.value) / 100;
          this.apply();
        });
      }
      this.find("again").addEventListener("click", () => {
        this.seed += 10;
        this.apply();
      });
      this.find("sample").addEventListener("click", () => {
        this.sample = (this.sample + 1) % this.model.samples.length;
        this.present();
      });
      this.find("measure").addEventListener("click", () => this.measure());
      for (const button of this.find("sweeps").children) {
        button.addEventListener("click", () => this.sweep(button.value));
      }
    }

    /** The network with some damage. */
    netWith(damage) {
      const { shipped, weights } = this.model;
      return new BFASNN(shipped.config, shipped.sizes, damaged(weights, shipped.sizes, damage, this.seed));
    }

    /** The held-out digits, with static if there is some. */
    digitsWith({ static: share }) {
      const { heldOut } = this.model;
      if (share === 0) return heldOut;
      return heldOut.map(({ label, pixels }, i) => ({ label, pixels: withStatic(pixels, share, this.seed + i) }));
    }

    /** Damages the network anew: what has been measured is no longer its accuracy. */
    apply() {
      this.stop();
      for (const kind of Object.keys(COLOURS)) {
        const share = percent(this.damage[kind]);
        this.find(`${kind}-share`).textContent = share;
        this.find(kind).setAttribute("aria-valuetext", share);
      }
      this.net = this.netWith(this.damage);
      this.find("number").textContent = "";
      this.present();
    }

    /** Shows what the damaged network makes of a sample. */
    present() {
      const { samples, key, shipped } = this.model;
      const pixels = withStatic(samples[this.sample].pixels, this.damage.static, this.seed);
      drawPixels(this.find("seen"), pixels);
      this.record = recorded(this.net, pixels, foldIn(key, 0));
      this.raster.show(shipped.config.T);
      const { best, probability } = this.answer.show(this.net.count, this.net.logit, shipped.temperature);
      const { label } = samples[this.sample];
      this.answer.say(`Digit ${label}: the network says ${best} (${percent(probability, 1)}).`);
    }

    stop() {
      this.say(Task.busy(this) ? "Stopped, as the damage has changed." : "");
      this.task?.stop();
    }

    say(text, busy) {
      announce(this.find("status"), text, busy);
    }

    async measure() {
      const task = (this.task = new Task(this));
      const progress = (done) => this.say(`Measuring: ${done} of ${this.model.heldOut.length} digits`, true);
      const share = await accuracy(this.net, this.digitsWith(this.damage), this.model.key, task, progress);
      if (share === null) return;
      task.stop();
      this.find("number").textContent = percent(share, 1);
      this.say(`${percent(share, 1)} of ${this.model.heldOut.length} held-out digits right with this damage.`);
    }

    /** Measures the accuracy with more and more of one kind of damage, and draws the curve. */
    async sweep(kind) {
      const task = (this.task = new Task(this));
      this.curves[kind] = { points: [], colour: COLOURS[kind] };
      const { length } = this.model.heldOut;
      this.find("number").textContent = ""; // that of the sliders' damage
      for (const share of SWEEP) {
        const damage = { cells: 0, synapses: 0, static: 0, [kind]: share };
        const progress = (done) =>
          this.say(`${TITLES[kind]} ${percent(share)}: measuring, ${done} of ${length} digits`, true);
        const right = await accuracy(this.netWith(damage), this.digitsWith(damage), this.model.key, task, progress);
        if (right === null) return;
        this.curves[kind].points.push([100 * share, right]);
        this.chart.show(Object.values(this.curves));
      }
      task.stop();
      const [first, last] = [0, -1].map((i) => percent(this.curves[kind].points.at(i)[1], 1));
      this.say(`${TITLES[kind]}: accuracy falls from ${first} to ${last}.`);
    }
  }

  Object.assign(Museum, { LesionRoom });
}
