// The GLSNN's page: the cascade of layers, each in its own window of time, and the feedback to every layer.
"use strict";
{
  const {
    glsnn_weights: shipped,
    digits,
    unpackWeights,
    unpackDigits,
    GLSNN,
    GLSNNLearner,
    glsnnHash,
    element,
    selfCheck,
    percent,
    make,
    column,
    Pad,
    Player,
    RasterChart,
    PotentialChart,
    CellChoice,
    GridChart,
    ErrorChart,
    Answer,
  } = globalThis.Museum;
  const { config, sizes } = shipped;
  const LAST = sizes.length - 1;

  /** Layer l integrates from step (l - 1) T to l T. */
  const windowStart = (layer) => (layer - 1) * config.T;

  const TIME = {
    steps: LAST * config.T,
    dt: config.dt,
    ticks: Array.from({ length: LAST + 1 }, (_, l) => l * config.T * config.dt),
    marks: Array.from({ length: LAST - 1 }, (_, l) => (l + 1) * config.T),
    speeds: [2, 8, 20],
  };

  class CascadePage {
    constructor(room) {
      this.find = (name) => room.querySelector(`[data-is=${name}]`);
      Object.assign(this, {
        weights: unpackWeights(shipped),
        pixels: null,
        spikes: [],
        taught: 0,
        fedBack: true, // whether the pictures of feedback show some
      });
      this.makeNet();
      this.makeCharts();
      this.makeFeedback();
      this.listen();
      this.pad = new Pad(this.find("pad"), unpackDigits(digits.samples), (pixels, label) => this.drew(pixels, label));
      this.show(0);
    }

    makeNet() {
      this.net = new GLSNN(config, sizes, this.weights);
      this.learner = new GLSNNLearner(this.net);
    }

    makeCharts() {
      const { find } = this;
      const bands = sizes.slice(1).map((n, i) => this.band(i + 1, n));
      this.raster = new RasterChart(find("raster"), bands, TIME, (l, cell) => this.chosen.choose(l + 1, cell));
      this.potential = new PotentialChart(find("potential"), TIME, config.thr);
      this.answer = new Answer(find("answer"), find("verdict"));
      this.error = new ErrorChart(find("error"));
      this.player = new Player(find("player"), TIME, (step) => this.show(step));
    }

    band(layer, n) {
      const output = layer === LAST;
      return {
        title: output ? "output" : `hidden ${layer}`,
        unit: `${n} cells`,
        n,
        share: output ? 0.31 : 0.23,
        colour: output ? "output" : "hidden",
        tall: output ? 5 : 1,
        alpha: output ? 1 : 0.3, // more cells than rows of pixels: dots add up
        names: output,
        spikes: (t) => this.spikes[t]?.[layer] ?? [],
      };
    }

    /** For each hidden layer a pathway to switch, and a picture of what it tells the layer's cells. */
    makeFeedback() {
      this.pathways = sizes.slice(1, LAST).map((_, i) => {
        const layer = i + 1;
        const on = make("input", { type: "checkbox", checked: "", autocomplete: "off", "data-pathway": layer });
        const canvas = make("canvas", {
          style: "height: 48px",
          role: "img",
          "aria-label": `Target minus rate of each cell of hidden layer ${layer}`,
        });
        const said = make("span", { class: "note" });
        const through = layer === LAST - 1 ? `W${LAST} transposed` : `F${layer}`;
        const title = make("span", {}, `to hidden ${layer}, through ${through}`);
        this.find("pathways").append(make("div", {}, make("label", { class: "check" }, on, title, said), canvas));
        on.addEventListener("change", () => this.showFeedback());
        return { layer, on, said, grid: new GridChart(canvas, 40) };
      });
    }

    listen() {
      const { find } = this;
      for (const k of Array(10).keys()) find("label").append(make("option", {}, `${k}`));
      for (let l = 1; l <= LAST; l++)
        find("layer").append(make("option", { value: l }, l === LAST ? "output cell" : `hidden ${l} cell`));
      find("label").addEventListener("change", () => this.showFeedback());
      this.chosen = new CellChoice(find, sizes, () => this.show(this.player.step));
      find("teach").addEventListener("click", () => this.teach());
      find("forget").addEventListener("click", () => this.forget());
    }

    drew(pixels, label) {
      this.pixels = pixels;
      if (label !== null) this.find("label").value = label;
      this.find("teach").disabled = pixels === null;
      this.present();
    }

    present() {
      this.answer.say("");
      this.spikes = [];
      if (this.pixels === null) return this.player.stop();
      this.net.present(this.pixels);
      for (let l = 1; l <= LAST; l++) this.listSpikes(l);
      this.chosen.begin(this.net.layers[1].count);
      this.player.start();
    }

    listSpikes(layer) {
      const { history, n } = this.net.layers[layer];
      for (let t = 0; t < config.T; t++) {
        const s = history.s.subarray(t * n, (t + 1) * n);
        this.spikes[windowStart(layer) + t] = { [layer]: [...s.keys()].filter((i) => s[i] !== 0) };
      }
    }

    show(step) {
      const there = this.spikes.length > 0;
      this.raster.show(there ? step : 0);
      this.potential.show(there && this.chosen.cell !== null ? this.trace() : null, step);
      const done = there && step >= TIME.steps;
      const said = done
        ? this.answer.show(this.net.layers[LAST].count, this.net.logit, shipped.temperature)
        : this.answer.show();
      if (said)
        this.answer.say(`The network says ${said.best}, with a probability of ${percent(said.probability, 1)}.`);
      if (done || this.fedBack) this.showFeedback(done); // they are blank while a digit plays
      this.fedBack = done;
    }

    trace() {
      const { layer, cell } = this.chosen;
      const { history, n } = this.net.layers[layer];
      return {
        v: column(history.v, n, cell),
        s: column(history.s, n, cell),
        first: windowStart(layer),
        colour: layer === LAST ? "output" : "hidden",
      };
    }

    /** Feedback begins when the output is there. */
    showFeedback(done = this.spikes.length > 0 && this.player.step >= TIME.steps) {
      const error = done ? this.net.error(Number(this.find("label").value)) : new Float32Array(sizes[LAST]);
      this.error.show(error);
      for (const { layer, on, said, grid } of this.pathways) {
        const reached = done && on.checked;
        const difference = reached ? this.net.feedback(layer, error) : new Float32Array(sizes[layer]);
        grid.show(difference);
        const size = difference.reduce((sum, d) => sum + Math.abs(d), 0) / difference.length;
        said.textContent = reached ? `mean ±${size.toPrecision(2)}` : on.checked ? "" : "off: it does not learn";
      }
    }

    /** One update of every layer that feedback reaches, then the same digit again. */
    teach() {
      const label = Number(this.find("label").value);
      this.net.present(this.pixels);
      const before = this.rateOf(label);
      const reached = (layer) => layer === LAST || this.pathways[layer - 1].on.checked;
      this.learner.learn(label, reached);
      this.taught++;
      this.net.present(this.pixels);
      const after = this.rateOf(label);
      this.spikes = [];
      for (let l = 1; l <= LAST; l++) this.listSpikes(l);
      this.player.pause();
      this.player.go(TIME.steps);
      this.find("status").textContent =
        `Update ${this.taught}: the rate of output cell ${label} was ${before}, and is ${after} spikes per step.`;
    }

    /** The rate of an output cell, in spikes per step. */
    rateOf(label) {
      return this.net.layers[LAST].rate[label].toFixed(1);
    }

    forget() {
      this.weights = unpackWeights(shipped);
      this.makeNet();
      this.taught = 0;
      this.find("status").textContent = "The trained weights are back.";
      this.present();
    }
  }

  element("accuracy").textContent = percent(shipped.accuracy, 2);
  Museum.page = new CascadePage(element("cascade"));
  const net = new GLSNN(config, sizes, unpackWeights(shipped));
  selfCheck(element("check"), unpackDigits(digits.samples), shipped.check, (pixels) => glsnnHash(net, pixels));
}
