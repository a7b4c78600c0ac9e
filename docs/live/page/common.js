// What the rooms share: finding elements, colours, frames, tabs, the answer's list and the self-check.
"use strict";
{
  const { predicted, probabilities } = globalThis.Museum;

  const element = (id) => document.getElementById(id);
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  const breathe = () => new Promise((resolve) => setTimeout(resolve)); // in a long task: the browser draws and listens

  /** A share in percent; 100 % only if it is all. */
  function percent(share, digits = 0) {
    const nearly = share < 1 && (100 * share).toFixed(digits) === (100).toFixed(digits);
    const shown = nearly ? `>\u00a0${(100 - 10 ** -digits).toFixed(digits)}` : (100 * share).toFixed(digits);
    return `${shown}\u00a0%`;
  }

  /** A colour of the stylesheet, as it is in light or dark. */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** One cell's values of (T, n). */
  const column = (values, n, cell) => Array.from({ length: values.length / n }, (_, t) => values[t * n + cell]);

  /** Makes an element with attributes and children. */
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** Says how a room is getting on; screen readers wait while it is busy, and read what comes of it. */
  function announce(status, text, busy = false) {
    status.setAttribute("aria-busy", busy);
    status.textContent = text;
  }

  /** Tabs, one for each room: arrow keys, Home and End move between them. The address remembers which one is open. */
  function tabs(list, opened) {
    const all = [...list.querySelectorAll("[role=tab]")];
    const open = (tab) => {
      for (const other of all) {
        other.setAttribute("aria-selected", other === tab);
        other.tabIndex = other === tab ? 0 : -1;
        element(other.getAttribute("aria-controls")).hidden = other !== tab;
      }
      opened(tab.getAttribute("aria-controls"));
    };
    const byAddress = () => all.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash) ?? all[0];
    const go = (tab) => {
      // Setting location.hash would move the focus away from the tabs.
      history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
      open(tab);
    };
    list.addEventListener("click", ({ target }) => all.includes(target) && go(target));
    list.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's: Alt and an arrow goes back
      const at = all.indexOf(document.activeElement);
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
      if (next === undefined) return;
      event.preventDefault(); // Home and End would scroll
      const tab = all.at(next % all.length);
      tab.focus();
      go(tab);
    });
    addEventListener("hashchange", () => open(byAddress()));
    open(byAddress());
  }

  /** Controls that choose the cell whose potential is shown: its layer and its number, null until there is one. */
  class CellChoice {
    /**
     * @param {(name: string) => HTMLElement} find the controls, "layer" and "cell"
     * @param {number[]} sizes of all layers, input first
     * @param {() => void} changed called when a cell has been chosen
     */
    constructor(find, sizes, changed) {
      Object.assign(this, { sizes, changed, layer: 1, cell: null });
      this.controls = { layer: find("layer"), cell: find("cell") };
      const chosen = () => this.choose(Number(this.controls.layer.value), Number(this.controls.cell.value));
      for (const control of Object.values(this.controls)) control.addEventListener("change", chosen);
    }

    choose(layer, cell) {
      if (layer === 0) return; // pixels have no potential
      const last = this.sizes[layer] - 1;
      this.layer = layer;
      this.cell = Math.max(0, Math.min(last, Math.floor(cell) || 0));
      Object.assign(this.controls.cell, { value: this.cell, max: last });
      this.controls.layer.value = layer;
      this.changed();
    }

    /** Chooses the cell of the first layer with the most spikes, unless one has been chosen. */
    begin(spikes) {
      if (this.cell === null) this.choose(1, spikes.indexOf(Math.max(...spikes)));
    }
  }

  /** The class probabilities, as a list of bars. */
  class Answer {
    constructor(list, verdict) {
      this.verdict = verdict;
      this.rows = Array.from({ length: 10 }, (_, k) =>
        make("li", {}, make("span", {}, `${k}`), make("i"), make("span")),
      );
      list.replaceChildren(...this.rows);
    }

    /** Without arguments: nothing has been answered yet. */
    show(count, logit, temperature) {
      const shares = logit ? probabilities(logit, temperature) : null;
      const best = logit ? predicted(count, logit) : -1;
      this.rows.forEach((row, k) => {
        row.classList.toggle("best", k === best);
        row.children[1].style.width = shares ? `${100 * shares[k]}%` : "0";
        row.children[2].textContent = shares ? percent(shares[k], 1) : "";
      });
      return logit ? { best, probability: shares[best] } : null;
    }

    /** Says the class that is predicted, to screen readers too. */
    say(text) {
      if (this.verdict.textContent !== text) this.verdict.textContent = text;
    }
  }

  /** Compares all spikes of some digits with Python's, by their hashes. */
  async function selfCheck(where, digits, expected, hash) {
    where.textContent = `Self-check: comparing all spikes of ${digits.length} digits with Python's.`;
    let same = 0;
    for (let i = 0; i < digits.length; i++) {
      same += hash(digits[i].pixels) === expected[i];
      await breathe();
    }
    where.dataset.same = same;
    const verdict = same === digits.length ? "this page is the model" : "this page is not the model";
    where.textContent = `Self-check: all spikes of ${same} of ${digits.length} digits are those of Python; ${verdict}.`;
  }

  Object.assign(Museum, { element, reducedMotion, breathe, percent, colour, column, make, announce, tabs });
  Object.assign(Museum, { CellChoice, Answer, selfCheck });
}
