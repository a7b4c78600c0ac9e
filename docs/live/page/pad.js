// Where visitors draw a digit, with mouse, finger or pen; keys 0 to 9 and a button give samples of MNIST.
"use strict";
{
  const { make, toMnist, drawPixels } = globalThis.Museum;
  const SIDE = 280;
  const STROKE = 22;

  class Pad {
    /**
     * @param {HTMLElement} place to put it in
     * @param {object[]} samples { label, pixels }
     * @param {(pixels: Uint8Array | null, label: number | null) => void} changed called with a drawing or sample
     */
    constructor(place, samples, changed) {
      Object.assign(this, { samples, changed, next: 0, pixels: null, greeting: false });
      this.pointer = this.last = null; // of the mouse, finger or pen that draws: which one, and where it was
      this.canvas = make("canvas", {
        class: "pad",
        width: SIDE,
        height: SIDE,
        tabindex: 0,
        role: "img",
        "aria-label": "Drawing area: draw a digit, or press a key from 0 to 9 for a sample of it",
      });
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
      this.seen = make("canvas", {
        class: "seen",
        width: 28,
        height: 28,
        role: "img",
        "aria-label": "What the network sees",
      });
      place.replaceChildren(this.canvas, this.controls());
      this.listen();
      this.clear(false);
    }

    controls() {
      const [clear, sample] = [make("button", {}, "Clear"), make("button", {}, "Sample digit")];
      clear.addEventListener("click", () => this.clear());
      sample.addEventListener("click", () => this.sample(this.next));
      const buttons = make("div", { class: "row", style: "flex: 1" }, sample, clear);
      return make("div", { class: "row", style: "flex-wrap: nowrap; align-items: flex-start" }, this.seen, buttons);
    }

    listen() {
      const { canvas } = this;
      canvas.addEventListener("pointerdown", (event) => {
        if (this.pointer !== null || event.button !== 0) return; // another one draws, or not the left button
        canvas.setPointerCapture(event.pointerId);
        this.pointer = event.pointerId;
        if (this.greeting) this.clear(false);
        this.last = this.place(event);
        this.stroke([event]);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (event.pointerId === this.pointer) this.stroke(event.getCoalescedEvents?.() ?? [event]);
      });
      // After pointerup and pointercancel, and where neither comes.
      canvas.addEventListener("lostpointercapture", ({ pointerId }) => pointerId === this.pointer && this.lift());
      canvas.addEventListener("keydown", ({ key, ctrlKey, metaKey, altKey }) => {
        if (/^[0-9]$/.test(key) && !(ctrlKey || metaKey || altKey)) this.sampleOf(Number(key));
      });
    }

    place({ clientX, clientY }) {
      const { left, top, width, height } = this.canvas.getBoundingClientRect();
      return [((clientX - left) * SIDE) / width, ((clientY - top) * SIDE) / height];
    }

    /** Draws from where the pointer was through where it has been since. */
    stroke(events) {
      const { context } = this;
      context.strokeStyle = "#fff";
      context.lineWidth = STROKE;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(...this.last);
      for (const event of events) {
        this.last = this.place(event);
        context.lineTo(this.last[0], this.last[1] + 0.01); // a point is a line too
      }
      context.stroke();
      this.show(this.read());
    }

    lift() {
      this.pointer = this.last = null;
      this.changed(this.pixels, null);
    }

    /** The drawing as MNIST has its digits. */
    read() {
      const { data } = this.context.getImageData(0, 0, SIDE, SIDE);
      const ink = new Uint8Array(SIDE * SIDE);
      for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i];
      return toMnist(ink, SIDE, SIDE);
    }

    show(pixels) {
      this.pixels = pixels;
      drawPixels(this.seen, pixels);
    }

    clear(tell = true) {
      this.greeting = false;
      this.context.fillStyle = "#000";
      this.context.fillRect(0, 0, SIDE, SIDE);
      this.show(null);
      if (tell) this.changed(null, null);
    }

    /** A sample, shown as large as a drawing. */
    sample(i) {
      const { pixels, label } = this.samples[i];
      this.next = (i + 1) % this.samples.length;
      this.clear(false);
      this.show(pixels);
      this.context.imageSmoothingEnabled = false;
      this.context.drawImage(this.seen, 0, 0, SIDE, SIDE);
      this.changed(pixels, label);
    }

    /** A first sample, for a visitor who has not drawn yet: the first stroke replaces it. */
    greet() {
      this.sample(this.next);
      this.greeting = true;
    }

    /** The next sample of a class. */
    sampleOf(label) {
      const n = this.samples.length;
      for (let i = 0; i < n; i++) {
        const at = (this.next + i) % n;
        if (this.samples[at].label === label) return this.sample(at);
      }
    }
  }

  Object.assign(Museum, { Pad });
}
