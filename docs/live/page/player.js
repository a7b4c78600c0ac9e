// Plays a presentation in simulated milliseconds: play, pause, step, speed, and a slider to any time.
"use strict";
{
  const { make, reducedMotion } = globalThis.Museum;
  const LONGEST = 250; // ms from frame to frame that count: in a hidden tab there are none, and a presentation waits

  class Player {
    /**
     * @param {HTMLElement} place to put the controls in
     * @param {object} time { steps, dt, speeds: simulated ms per second, the second one is chosen }
     * @param {(step: number) => void} show draws the presentation until a step
     */
    constructor(place, time, show) {
      Object.assign(this, { time, show, step: 0, playing: false });
      this.button = make("button", { class: "main" }, "Play");
      this.stepper = make("button", {}, "Step");
      const range = { min: 0, max: time.steps, value: 0, autocomplete: "off" };
      this.slider = make("input", { type: "range", ...range, "aria-label": "Time" });
      this.speed = make(
        "select",
        { "aria-label": "Speed" },
        ...time.speeds.map((ms) => make("option", { value: ms }, `${ms} ms per second`)),
      );
      this.speed.selectedIndex = 1;
      this.clock = make("output", { style: "min-width: 9ch", "aria-live": "off" });
      const slider = make("div", { class: "grow" }, this.slider);
      place.replaceChildren(this.button, this.stepper, this.speed, slider, this.clock);
      this.listen();
      this.enable(false);
    }

    listen() {
      this.button.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
      this.stepper.addEventListener("click", () => {
        this.pause();
        this.go(this.step >= this.time.steps ? 1 : this.step + 1);
      });
      this.slider.addEventListener("input", () => {
        this.pause();
        this.go(Number(this.slider.value));
      });
    }

    enable(on) {
      for (const control of [this.button, this.stepper, this.slider, this.speed]) control.disabled = !on;
    }

    /** A new presentation: it plays, or with reduced motion is there at once. */
    start() {
      this.enable(true);
      this.pause();
      this.go(reducedMotion.matches ? this.time.steps : 0);
      if (!reducedMotion.matches) this.play();
    }

    /** Nothing is presented. */
    stop() {
      this.pause();
      this.enable(false);
      this.go(0);
    }

    go(step) {
      this.step = Math.min(this.time.steps, step);
      this.slider.value = this.step;
      const ms = (this.step * this.time.dt).toFixed(this.time.dt < 1 ? 2 : 0);
      this.clock.textContent = `${ms} ms`;
      this.slider.setAttribute("aria-valuetext", `${ms} milliseconds`);
      this.show(this.step);
    }

    play() {
      if (this.step >= this.time.steps) this.go(0);
      this.playing = true;
      this.button.textContent = "Pause";
      let before = performance.now();
      let due = this.step;
      const tick = (now) => {
        due += (Math.min(LONGEST, now - before) / 1000) * (Number(this.speed.value) / this.time.dt);
        before = now;
        if (Math.floor(due) > this.step) this.go(Math.floor(due));
        if (this.step >= this.time.steps) this.pause();
        else this.frame = requestAnimationFrame(tick);
      };
      this.frame = requestAnimationFrame(tick);
    }

    pause() {
      cancelAnimationFrame(this.frame); // or a presentation that starts now would go on from where this one is
      this.playing = false;
      this.button.textContent = "Play";
    }
  }

  Object.assign(Museum, { Player });
}
