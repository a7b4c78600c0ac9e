// Runs the networks of docs/live in Node for tests/test_live.py: node live_node.js JOB.json, answers in JSON.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const core = path.join(__dirname, "..", "docs", "live", "core");
for (const name of ["random", "unpack", "bfa_snn", "learning", "lesion", "glsnn", "digit", "answer"]) {
  require(path.join(core, `${name}.js`));
}
const M = globalThis.Museum;

const base64 = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

function joined(arrays) {
  const out = new Float32Array(arrays.reduce((n, array) => n + array.length, 0));
  let first = 0;
  for (const array of arrays) {
    out.set(array, first);
    first += array.length;
  }
  return out;
}

/** All values of a compartment over time, one array after another. */
function record(steps, step, compartments) {
  const kept = Object.fromEntries(Object.keys(compartments).map((name) => [name, []]));
  for (let t = 0; t < steps; t++) {
    step();
    for (const [name, read] of Object.entries(compartments)) kept[name].push(Float32Array.from(read()));
  }
  return Object.fromEntries(Object.entries(kept).map(([name, rows]) => [name, base64(joined(rows))]));
}

function dense(events, n) {
  const out = new Float32Array(n);
  for (const i of events) out[i] = 1;
  return out;
}

function pictures(images, size) {
  return Array.from({ length: images.length / size }, (_, i) => images.subarray(i * size, (i + 1) * size));
}

const JOBS = {
  /** Every compartment at every step, for the pictures of a minibatch of Python's. */
  bfaRecord({ weights: { config, sizes, seed }, values, images, minibatch }) {
    const net = new M.BFASNN(config, sizes, values);
    return pictures(images, sizes[0]).map((pixels, i) => {
      net.begin(pixels, M.foldIn(M.testKey(seed), minibatch), i);
      return record(config.T, () => net.step(), {
        "z0.outputs": () => dense(net.z0.events.of(0), sizes[0]),
        "W1.outputs": () => net.z1.j,
        "z1.v": () => net.z1.v,
        "z1.s": () => net.z1.s,
        "z1.onset": () => net.z1.onset,
        "W2.outputs": () => net.z2.j,
        "z2.v": () => net.z2.v,
        "z2.s": () => net.z2.s,
        "z2.onset": () => net.z2.onset,
      });
    });
  },

  bfaRead({ weights: { config, sizes, seed }, values, images, batch, damage }) {
    const weights = damage ? M.damaged(values, sizes, damage) : values;
    const net = new M.BFASNN(config, sizes, weights);
    const answers = pictures(images, sizes[0]).map((pixels, i) =>
      net.present(pixels, M.foldIn(M.testKey(seed), Math.floor(i / batch)), i % batch),
    );
    const shown = damage ? Object.fromEntries(["W1", "b1", "W2"].map((name) => [name, base64(weights[name])])) : {};
    return { ...together(answers), weights: shown };
  },

  bfaLearn({ weights: { config, sizes, seed }, values, images, labels, batch }) {
    const net = new M.BFASNN(config, sizes, values, batch);
    const learner = new M.Learner(net);
    const counts = [];
    for (let first = 0; first < labels.length; first += batch) {
      const key = M.foldIn(M.testKey(seed), first / batch);
      learner.teach(
        images.subarray(first * sizes[0], (first + batch) * sizes[0]),
        labels.slice(first, first + batch),
        key,
      );
      counts.push(...net.count);
    }
    const learned = Object.fromEntries(["W1", "b1", "W2", "b2"].map((name) => [name, base64(values[name])]));
    return { ...learned, count: base64(Float32Array.from(counts)) };
  },

  bfaHashes({ weights: { config, sizes, seed }, values, images }) {
    const net = new M.BFASNN(config, sizes, values);
    return pictures(images, sizes[0]).map((pixels) => M.bfaHash(net, pixels, M.testKey(seed)));
  },

  glsnnRecord({ weights: { config, sizes }, values, images }) {
    const net = new M.GLSNN(config, sizes, values);
    return pictures(images, sizes[0]).map((pixels) => {
      net.present(pixels);
      const seen = {};
      for (let l = 1; l <= net.last; l++) {
        const { history, j, rate, sensitivity } = net.layers[l];
        seen[`z${l}.s`] = base64(Float32Array.from(history.s));
        seen[`z${l}.v`] = base64(history.v);
        seen[`W${l}.outputs`] = base64(j);
        seen[`z${l}.rate`] = base64(rate);
        seen[`z${l}.sensitivity`] = base64(sensitivity);
      }
      return seen;
    });
  },

  glsnnRead({ weights: { config, sizes }, values, images }) {
    const net = new M.GLSNN(config, sizes, values);
    return together(pictures(images, sizes[0]).map((pixels) => net.present(pixels)));
  },

  glsnnLearn({ weights: { config, sizes }, values, images, labels }) {
    const net = new M.GLSNN(config, sizes, values);
    const teacher = new M.GLSNNLearner(net);
    pictures(images, sizes[0]).forEach((pixels, i) => {
      net.present(pixels);
      teacher.learn(labels[i]);
    });
    return Object.fromEntries(Object.keys(values).map((name) => [name, base64(values[name])]));
  },

  glsnnHashes({ weights: { config, sizes }, values, images }) {
    const net = new M.GLSNN(config, sizes, values);
    return pictures(images, sizes[0]).map((pixels) => M.glsnnHash(net, pixels));
  },

  toMnist({ images, width, height }) {
    return pictures(images, width * height).map((ink) => base64(M.toMnist(ink, width, height)));
  },

  random({ seed, n }) {
    return { key: M.prngKey(seed), test: M.testKey(seed), folded: M.foldIn(M.testKey(seed), n) };
  },

  tanh({ x }) {
    return base64(new Float32Array(bytes(x).buffer).map(M.tanh));
  },
};

function together(answers) {
  const all = (name) => base64(joined(answers.map((answer) => answer[name])));
  return {
    count: all("count"),
    logit: all("logit"),
    label: answers.map(({ count, logit }) => M.predicted(count, logit)),
  };
}

const job = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
if (job.images) job.images = bytes(job.images);
if (job.weightsFile) {
  require(job.weightsFile);
  job.weights = M[job.name];
  job.values = M.unpackWeights(job.weights);
}
process.stdout.write(JSON.stringify(JOBS[job.job](job)));
