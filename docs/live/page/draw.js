// Draw and watch: a digit, all spikes that it causes, a cell's potential, and the answer.
"use strict";
{
  const { BFASNN, foldIn, Pad, Player, RasterChart, PotentialChart, CellChoice, Answer, percent, column } =
    globalThis.Museum;

  /** Everything that a BFASNN did in one presentation, step by step. */
  function recorded(net, pixels, key) {
    const { config, sizes } = net;
    const layers = [{ spikes: [] }, emptyLayer(config.T, sizes[1]), emptyLayer(config.T, sizes[2])];
    const answers = [];
    net.begin(pixels, key);
    while (net.t < config.T) {
      const { t } = net;
      net.step();
      layers[0].spikes.push(net.z0.events.of(0).slice());
      keep(layers[1], net.z1, t);
      keep(layers[2], net.z2, t);
      answers.push({ count: net.count.slice(), current: net.current.slice() });
    }
    return { layers, answers };
  }

  const emptyLayer = (T, n) => ({ spikes: [], v: new Float32Array(T * n), onset: new Uint8Array(T * n), n });

  function keep(layer, cells, t) {
    layer.v.set(cells.v, t * layer.n);
    layer.onset.set(cells.onset, t * layer.n);
    layer.spikes.push([...cells.onset.keys()].filter((i) => cells.onset[i] !== 0));
  }

  /** The bands of the BFA-SNN's raster; a spike of a cell lasts for its refractory period. */
  function bands(net, record) {
    const [D, H, C] = net.sizes;
    const lasts = net.config.refract_time / net.config.dt;
    const spikes = (l) => (t) => record()?.layers[l].spikes[t] ?? [];
    return [
      { title: "input", unit: `${D} pixels`, n: D, share: 0.25, colour: "input", spikes: spikes(0) },
      { title: "hidden", unit: `${H} cells`, n: H, share: 0.37, colour: "hidden", spikes: spikes(1) },
      {
        title: "output",
        unit: "cells",
        n: C,
        share: 0.38,
        colour: "output",
        tall: 4,
        lasts,
        names: true,
        spikes: spikes(2),
      },
    ];
  }

  const timeOf = ({ T, dt, burn_in }) => ({
    steps: T,
    dt,
    ticks: [0, 5, 10, 15, 20, 25].filter((ms) => ms <= T * dt),
    marks: [burn_in],
    speeds: [2.5, 10, 25],
  });

  class DrawRoom {
    /** @param {object} model { shipped: generated weights, weights, key, samples } */
    constructor(room, { shipped, weights, key, samples }) {
      const find = (name) => room.querySelector(`[data-is=${name}]`);
      Object.assign(this, { shipped, key, presented: 0, record: null });
      this.net = new BFASNN(shipped.config, shipped.sizes, weights);
      const time = timeOf(shipped.config);
      this.raster = new RasterChart(
        find("raster"),
        bands(this.net, () => this.record),
        time,
        (l, i) => this.chosen.choose(l, i),
      );
      this.potential = new PotentialChart(find("potential"), time, shipped.config.thr);
      this.answer = new Answer(find("answer"), find("verdict"));
      this.player = new Player(find("player"), time, (step) => this.show(step));
      this.chosen = new CellChoice(find, shipped.sizes, () => this.show(this.player.step));
      this.pad = new Pad(find("pad"), samples, (pixels) => this.present(pixels));
      this.pad.greet();
    }

    present(pixels) {
      if (pixels === null) {
        this.record = null;
        this.answer.say("");
        return this.player.stop();
      }
      this.record = recorded(this.net, pixels, foldIn(this.key, this.presented++)); // fresh noise each time
      this.chosen.begin(this.hiddenSpikes());
      this.answer.say("");
      this.player.start();
    }

    /** How often each hidden cell spiked. */
    hiddenSpikes() {
      const count = new Uint16Array(this.shipped.sizes[1]);
      for (const cells of this.record.layers[1].spikes) for (const i of cells) count[i]++;
      return count;
    }

    show(step) {
      this.raster.show(this.record ? step : 0);
      this.potential.show(this.trace(), step);
      this.showAnswer(step);
    }

    trace() {
      const { layer, cell } = this.chosen;
      if (!this.record || cell === null) return null;
      const { v, onset, n } = this.record.layers[layer];
      const name = ["input", "hidden", "output"][layer];
      return { v: column(v, n, cell), s: column(onset, n, cell), first: 0, colour: name };
    }

    showAnswer(step) {
      const { T, burn_in } = this.shipped.config;
      if (!this.record || step <= burn_in) return this.answer.show();
      const { count, current } = this.record.answers[step - 1];
      const logit = step === T ? this.net.logit : current.map((sum) => sum / (step - burn_in));
      const said = this.answer.show(count, logit, this.shipped.temperature);
      if (step === T)
        this.answer.say(`The network says ${said.best}, with a probability of ${percent(said.probability, 1)}.`);
    }
  }

  Object.assign(Museum, { DrawRoom, recorded, bands, timeOf });
}
