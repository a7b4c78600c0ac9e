// Charts on canvases: crisp at any pixel ratio, in the stylesheet's colours, drawn again when size or colours change.
"use strict";
{
  const { colour } = globalThis.Museum;
  const FONT = "13px system-ui, sans-serif";
  const SMALL = "11px system-ui, sans-serif";
  const MARGIN = { left: 84, right: 16, top: 6, bottom: 38 };

  /** Corners of the marks on curves of each colour: the shape tells them apart too. */
  const MARKS = {
    hidden: [[-3, -3], [3, -3], [3, 3], [-3, 3]],
    output: [[0, -5], [5, 0], [0, 5], [-5, 0]],
    input: [[0, -5], [5, 4], [-5, 4]],
    soft: [[0, 5], [5, -4], [-5, -4]],
  };

  class Chart {
    constructor(canvas) {
      this.canvas = canvas;
      this.context = canvas.getContext("2d");
      new ResizeObserver(() => this.redraw()).observe(canvas);
      matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
      this.watchRatio();
    }

    /** Draws again when the window moves to a screen of another pixel ratio, or zooms. */
    watchRatio() {
      const changed = () => {
        this.redraw();
        this.watchRatio();
      };
      matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", changed, { once: true });
    }

    redraw() {
      const { clientWidth: width, clientHeight: height } = this.canvas;
      if (width === 0) return; // in a room that is closed
      const ratio = devicePixelRatio;
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.context.font = FONT;
      this.box = {
        x: MARGIN.left,
        y: MARGIN.top,
        width: width - MARGIN.left - MARGIN.right,
        height: height - MARGIN.top - MARGIN.bottom,
      };
      this.draw();
    }

    text(text, x, y, { align = "left", name = "soft" } = {}) {
      this.context.fillStyle = colour(name);
      this.context.textAlign = align;
      this.context.textBaseline = "middle";
      this.context.fillText(text, x, y);
    }

    line(points, name, width = 1, dash = []) {
      const { context } = this;
      context.strokeStyle = colour(name);
      context.lineWidth = width;
      context.lineJoin = "round";
      context.setLineDash(dash);
      context.beginPath();
      points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
      context.setLineDash([]);
    }

    segment(from, to, ...style) {
      this.line([from, to], ...style);
    }

    /** The horizontal axis: `ticks` are values from 0 to `most`. */
    axisX(most, ticks, label) {
      const { x, y, width, height } = this.box;
      const bottom = y + height;
      this.segment([x, bottom + 0.5], [x + width, bottom + 0.5], "line");
      for (const tick of ticks) {
        const at = x + (tick / most) * width;
        this.segment([at, bottom], [at, bottom + 4], "line");
        this.text(`${tick}`, at, bottom + 12, { align: "center" });
      }
      this.text(label, x + width / 2, bottom + 28, { align: "center" });
    }

    /** The vertical axis: `place` gives a value's height. */
    axisY(ticks, place, show = String) {
      const { x, width } = this.box;
      for (const tick of ticks) {
        this.segment([x, place(tick)], [x + width, place(tick)], "line");
        this.text(show(tick), x - 8, place(tick), { align: "right" });
      }
    }
  }

  /** Spikes of all layers over time, each layer a band. */
  class RasterChart extends Chart {
    /**
     * @param {object[]} bands { title, unit, n, share, name of colour, tall: height of a dot, spikes: step -> cells }
     * @param {object} time { steps, dt, ticks, marks: steps with a dashed line }
     * @param {(layer: number, cell: number) => void} picked
     */
    constructor(canvas, bands, time, picked) {
      super(canvas);
      Object.assign(this, { bands, time, until: 0 });
      if (picked) canvas.addEventListener("click", (event) => this.pick(event, picked));
    }

    show(until) {
      this.until = until;
      this.redraw();
    }

    tops() {
      let top = this.box.y;
      return this.bands.map(({ share }) => {
        const height = share * this.box.height;
        top += height;
        return [top - height, height];
      });
    }

    pick({ offsetX, offsetY }, picked) {
      this.tops().forEach(([top, height], l) => {
        const cell = Math.floor(((offsetY - top - 2) / (height - 4)) * this.bands[l].n);
        if (offsetX >= this.box.x && cell >= 0 && cell < this.bands[l].n) picked(l, cell);
      });
    }

    draw() {
      this.tops().forEach(([top, height], l) => this.drawBand(this.bands[l], top, height));
      const { steps, dt, ticks, marks = [] } = this.time;
      this.axisX(steps * dt, ticks, "simulated time (ms)");
      for (const step of marks) this.cursor(step, "soft", [3, 3]);
      if (this.until < steps) this.cursor(this.until, "ink");
    }

    cursor(step, name, dash) {
      const { x, y, width, height } = this.box;
      const at = x + (step / this.time.steps) * width;
      this.segment([at, y], [at, y + height], name, 1, dash);
    }

    drawBand(band, top, height) {
      const { context, box } = this;
      const edge = box.x - (band.names ? 18 : 8);
      this.text(band.title, edge, top + height / 2 - 8, { align: "right", name: band.colour });
      this.text(band.unit, edge, top + height / 2 + 8, { align: "right" });
      this.segment([box.x, top + height], [box.x + box.width, top + height], "line");
      this.segment([box.x - 0.5, top], [box.x - 0.5, top + height], "line");
      const cell = (height - 4) / band.n;
      const tall = Math.max(band.tall ?? 1.5, 0.6 * cell);
      const wide = Math.max(1.5, ((band.lasts ?? 0.7) * box.width) / this.time.steps - 1);
      context.fillStyle = colour(band.colour);
      context.globalAlpha = band.alpha ?? 1;
      for (let t = 0; t < this.until; t++) {
        const x = box.x + (t / this.time.steps) * box.width;
        const width = Math.min(wide, box.x + box.width - x);
        for (const i of band.spikes(t)) context.fillRect(x, top + 2 + (i + 0.5) * cell - tall / 2, width, tall);
      }
      context.globalAlpha = 1;
      if (band.names) this.nameCells(band, top, cell);
    }

    nameCells(band, top, cell) {
      this.context.font = SMALL;
      for (let i = 0; i < band.n; i++)
        this.text(`${i}`, this.box.x - 5, top + 2.5 + (i + 0.5) * cell, { align: "right" });
      this.context.font = FONT;
    }
  }

  /**
   * The membrane potential of a cell after each step, with its threshold and its spikes: a spike stands at the end of
   * its step, in the raster at its start.
   */
  class PotentialChart extends Chart {
    constructor(canvas, time, thr) {
      super(canvas);
      Object.assign(this, { time, thr, until: 0, trace: null });
    }

    /** @param {object} trace { v: potentials, s: spikes, first: step of the first of them, colour } */
    show(trace, until) {
      Object.assign(this, { trace, until });
      this.redraw();
    }

    draw() {
      const { steps, dt, ticks } = this.time;
      const values = this.trace?.v ?? [0];
      const low = Math.min(-0.5 * this.thr, ...values);
      const high = Math.max(1.5 * this.thr, 1.2 * this.thr - 0.2 * low); // room for the unit above the threshold
      const { y, height, x, width } = this.box;
      const place = (v) => y + height - ((v - low) / (high - low)) * height;
      const hidden = (v) => Math.abs(place(v) - place(this.thr)) < 13; // by the threshold's name
      this.axisY(this.levels(low), place, (v) => (hidden(v) ? "" : v.toFixed(1)));
      this.text("mV", x - 8, y + 6, { align: "right" });
      this.axisX(steps * dt, ticks, "simulated time (ms)");
      this.segment([x, place(this.thr)], [x + width, place(this.thr)], "output", 1.5, [6, 4]);
      this.text("threshold", x - 8, place(this.thr), { align: "right", name: "output" });
      if (this.trace) this.drawTrace(place);
    }

    /** At most six values on the axis. */
    levels(low) {
      const step = [0.2, 0.5, 1, 2, 5, 10].find((size) => (this.thr * 1.5 - low) / size < 6) ?? 20;
      const levels = [0];
      for (let v = -step; v >= low; v -= step) levels.push(v);
      if (step < 0.8 * this.thr) levels.push(step);
      return levels;
    }

    drawTrace(place) {
      const { v, s, first, colour: name } = this.trace;
      const { x, y, width } = this.box;
      const at = (t) => x + ((first + t + 1) / this.time.steps) * width;
      const points = [[at(-1), place(0)]];
      for (let t = 0; t < Math.min(v.length, this.until - first); t++) {
        if (s[t]) points.push([at(t), place(this.thr)], [at(t), y + 2]); // a spike
        points.push([at(t), place(v[t])]);
      }
      this.line(points, name, 1.75);
    }
  }

  /**
   * Values of cells as a grid: blue above 0, orange below; opacity is the square root of a value's share of the
   * largest.
   */
  class GridChart extends Chart {
    constructor(canvas, columns) {
      super(canvas);
      Object.assign(this, { columns, values: new Float32Array(0) });
    }

    show(values) {
      this.values = values;
      this.redraw();
    }

    draw() {
      const { clientWidth: width, clientHeight: height } = this.canvas;
      const rows = Math.ceil(this.values.length / this.columns);
      const most = this.values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-12);
      const [w, h] = [width / this.columns, height / rows];
      const names = { up: colour("up"), down: colour("down") };
      this.context.fillStyle = colour("line");
      this.context.globalAlpha = 0.35;
      this.context.fillRect(0, 0, width, height);
      this.values.forEach((value, i) => {
        this.context.globalAlpha = Math.sqrt(Math.abs(value) / most);
        this.context.fillStyle = value > 0 ? names.up : names.down;
        this.context.fillRect((i % this.columns) * w, Math.floor(i / this.columns) * h, w - 0.5, h - 0.5);
      });
      this.context.globalAlpha = 1;
    }
  }

  /** A value for each output cell, from -1 to 1, as bars up and down. */
  class ErrorChart extends Chart {
    constructor(canvas) {
      super(canvas);
      this.values = new Float32Array(10);
    }

    show(values) {
      this.values = values;
      this.redraw();
    }

    draw() {
      const { x, y, width, height } = this.box;
      const middle = y + height / 2;
      this.axisY([-1, 0, 1], (v) => middle - (v * height) / 2);
      this.values.forEach((value, k) => {
        const wide = width / this.values.length;
        this.context.fillStyle = colour(value > 0 ? "up" : "down");
        this.context.fillRect(x + (k + 0.2) * wide, middle, 0.6 * wide, (-value * height) / 2);
        this.text(`${k}`, x + (k + 0.5) * wide, y + height + 12, { align: "center" });
      });
      this.text("output cell", x + width / 2, y + height + 28, { align: "center" });
      this.text("error", 0, y + 6);
    }
  }

  /** Accuracy against something, one curve or more. */
  class AccuracyChart extends Chart {
    /** @param {object} x { label, most, ticks: most -> values } */
    constructor(canvas, x) {
      super(canvas);
      Object.assign(this, { x, curves: [] });
    }

    /** @param {object[]} curves { points: [[x, accuracy], ...], colour } */
    show(curves) {
      this.curves = curves;
      this.redraw();
    }

    draw() {
      const { x, y, width, height } = this.box;
      const most = this.x.most(this.curves);
      const place = ([at, accuracy]) => [x + (at / most) * width, y + (1 - accuracy) * height];
      this.axisY(
        [0, 0.5, 1],
        (accuracy) => y + (1 - accuracy) * height,
        (a) => `${100 * a} %`,
      );
      this.text("accuracy", 0, y + 22);
      this.axisX(most, this.x.ticks(most), this.x.label);
      this.segment(place([0, 0.1]), place([most, 0.1]), "soft", 1, [2, 4]);
      this.text("guessing", x - 8, y + 0.9 * height - 2, { align: "right" });
      for (const { points, colour: name } of this.curves) {
        this.line(points.map(place), name, 2);
        this.context.fillStyle = colour(name);
        for (const point of points) this.mark(place(point), MARKS[name]);
      }
    }

    mark([x, y], corners) {
      const { context } = this;
      context.beginPath();
      for (const [dx, dy] of corners) context.lineTo(x + dx, y + dy);
      context.fill();
    }
  }

  /** Draws a picture of bytes on a canvas of as many pixels. */
  function drawPixels(canvas, pixels) {
    const image = new ImageData(28, 28);
    for (let i = 0; i < 784; i++) image.data.set([pixels?.[i] ?? 0, pixels?.[i] ?? 0, pixels?.[i] ?? 0, 255], 4 * i);
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  Object.assign(Museum, { RasterChart, PotentialChart, GridChart, ErrorChart, AccuracyChart, drawPixels });
}
